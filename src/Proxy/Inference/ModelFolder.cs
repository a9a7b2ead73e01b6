using System.Text.Json;
using Proxy.Config;
using Proxy.Vectors;

namespace Proxy.Inference;

/// <summary>A model's folder cannot be served; the message names the file and the reason.</summary>
internal sealed class ModelFolderException(string message) : Exception(message);

/// <summary>
/// The description of a model by its files, in the layout of Hugging Face and sentence-transformers: which graph to run, how long a text may be, how token
/// vectors become one vector, which prefix a query gets. Reading it runs nothing.
/// </summary>
internal sealed record ModelFolder(ModelFiles Files, VectorModelKind Kind, string Graph, string Variant)
{
    public const string Tokenizer = "tokenizer.json";

    private const string Configuration = "config.json";
    private const string Modules = "modules.json";
    private const string SentenceTransformers = "config_sentence_transformers.json";

    /// <summary>Families whose position ids start after the padding token's id.</summary>
    private static readonly string[] OffsetPositions = ["roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet", "longformer"];

    /// <summary>The most tokens of an input, special ones included.</summary>
    public required int MaxLength { get; init; }

    /// <summary>Length of a token's vector; 0 if config.json does not give it.</summary>
    public int HiddenSize { get; init; }

    public int PadId { get; init; }
    public Pooling Pooling { get; init; }

    /// <summary>Whether vectors are scaled to length 1 if a call does not decide: modules.json has that step, or does not exist.</summary>
    public bool Normalizes { get; init; } = true;

    /// <summary>Whether the text is lower-cased before tokenizing.</summary>
    public bool LowerCase { get; init; }

    /// <summary>The prefixes for texts, by name; some may be empty.</summary>
    public IReadOnlyDictionary<string, string> Prompts { get; init; } = new Dictionary<string, string>();

    public string? DefaultPrompt { get; init; }
    public bool Matryoshka { get; init; }

    /// <summary>Not null for late interaction only.</summary>
    public LateInteraction? Late { get; init; }

    /// <summary>Reads the files. Throws <see cref="ModelFolderException"/>.</summary>
    public static ModelFolder Read(ModelFiles files, InferenceKind? asked, string variant)
    {
        if (!files.Has(Tokenizer)) throw Broken(files, Tokenizer, "is missing");
        var (graph, kept) = GraphFiles.Choose(files, variant);
        var configuration = Parse(files, Configuration) ?? throw Broken(files, Configuration, "is missing");
        var tokenizer = Parse(files, "tokenizer_config.json");
        var sentences = Parse(files, SentenceTransformers);
        var limits = Parse(files, "sentence_bert_config.json");

        var modules = Parse(files, Modules);
        var kind = asked switch
        {
            InferenceKind.Embed => VectorModelKind.Embed,
            InferenceKind.Rerank => VectorModelKind.Rerank,
            InferenceKind.LateInteraction => VectorModelKind.LateInteraction,
            _ => Recognise(configuration, sentences),
        };
        return new(files, kind, graph, kept)
        {
            MaxLength = Longest(files, configuration, tokenizer, limits),
            HiddenSize = Number(files, Configuration, configuration, "hidden_size") ?? Number(files, Configuration, configuration, "dim") ?? 0,
            PadId = Number(files, Configuration, configuration, "pad_token_id") ?? 0,
            Pooling = kind is VectorModelKind.Embed ? HowToPool(files, modules) : default,
            Normalizes = modules is not { ValueKind: JsonValueKind.Array } steps || steps.EnumerateArray().Any(static step => TypeOf(step) is "Normalize"),
            LowerCase = limits is { } bert && bert.TryGetProperty("do_lower_case", out var lower) && lower.ValueKind is JsonValueKind.True,
            Prompts = PromptsOf(files, sentences),
            DefaultPrompt = Text(sentences, "default_prompt_name"),
            Matryoshka =
                configuration.TryGetProperty("matryoshka_dimensions", out _) || Number(files, SentenceTransformers, sentences, "truncate_dim") is not null,
            Late = kind is VectorModelKind.LateInteraction ? LateInteraction.Read(sentences, Parse(files, "artifact.metadata")) : null,
        };
    }

    /// <summary>Null if the folder can be served, else the reason, for <c>proxy check</c>.</summary>
    public static string? Problem(InferenceModelConfig model)
    {
        try
        {
            if (!Directory.Exists(model.Path)) return $"there is no folder {model.Path}";
            Read(new FolderFiles(model.Path), model.Kind, model.Variant);
            return null;
        }
        catch (ModelFolderException problem)
        {
            return problem.Message;
        }
    }

    internal static ModelFolderException Broken(ModelFiles files, string path, string problem) => new($"{files.NameOf(path)} {problem}");

    private static VectorModelKind Recognise(JsonElement configuration, JsonElement? sentences)
    {
        var architectures = configuration.TryGetProperty("architectures", out var list) && list.ValueKind is JsonValueKind.Array
            ? list.EnumerateArray().Where(static a => a.ValueKind is JsonValueKind.String).Select(static a => a.GetString()!).ToArray()
            : [];
        if (architectures.Any(static a => a.Contains("ColBERT", StringComparison.OrdinalIgnoreCase))
            || string.Equals(Text(sentences, "similarity_fn_name"), "MaxSim", StringComparison.OrdinalIgnoreCase))
            return VectorModelKind.LateInteraction;
        return architectures.Any(static a => a.EndsWith("ForSequenceClassification", StringComparison.Ordinal))
            ? VectorModelKind.Rerank : VectorModelKind.Embed;
    }

    /// <summary>
    /// The smallest limit in the files. The truncation in tokenizer.json is not used: it is a setting of an earlier use, not a limit of the model.
    /// </summary>
    private static int Longest(ModelFiles files, JsonElement configuration, JsonElement? tokenizer, JsonElement? limits)
    {
        const int Unsaid = 512;
        const int Absurd = 1 << 20; // tokenizers without a limit have 1e30
        var positions = Number(files, Configuration, configuration, "max_position_embeddings");
        if (positions is { } all && Array.IndexOf(OffsetPositions, Text(configuration, "model_type")) >= 0)
            positions = all - (Number(files, Configuration, configuration, "pad_token_id") ?? 0) - 1;
        var said = Number(files, "sentence_bert_config.json", limits, "max_seq_length")
            ?? Number(files, "tokenizer_config.json", tokenizer, "model_max_length");
        var least = Math.Min(said ?? int.MaxValue, positions ?? int.MaxValue);
        if (least < 3) throw Broken(files, Configuration, $"leaves room for {least} tokens");
        return least > Absurd ? Unsaid : least;
    }

    /// <summary>A module's type without its package names.</summary>
    private static string? TypeOf(JsonElement module) => Text(module, "type")?.Split('.')[^1];

    private static Pooling HowToPool(ModelFiles files, JsonElement? listed)
    {
        if (listed is not { } modules) return Pooling.Mean;
        if (modules.ValueKind is not JsonValueKind.Array) throw Broken(files, Modules, "is not a list of modules");

        var pooling = Pooling.Mean;
        foreach (var module in modules.EnumerateArray())
        {
            var type = TypeOf(module);
            var folder = Text(module, "path") ?? "";
            switch (type)
            {
                case "Transformer" or "Normalize":
                    break;
                case "Pooling":
                    pooling = PoolingOf(files, Path.Combine(folder, Configuration));
                    break;
                default:
                    throw Broken(files, Modules, $"has a module that is not supported: {type} (served: Transformer, Pooling, Normalize)");
            }
        }

        return pooling;
    }

    private static Pooling PoolingOf(ModelFiles files, string path)
    {
        var settings = Parse(files, path) ?? throw Broken(files, path, "is missing");
        var modes = settings.EnumerateObject().Where(static s => s.Name.StartsWith("pooling_mode_", StringComparison.Ordinal)
            && s.Value.ValueKind is JsonValueKind.True).Select(static s => s.Name["pooling_mode_".Length..]).ToArray();
        var mode = Text(settings, "pooling_mode") ?? (modes.Length == 1
            ? modes[0]
            : throw Broken(files, path, modes.Length == 0
                ? "has no pooling mode"
                : $"asks for several poolings at once ({string.Join(", ", modes)}); one is supported"));
        if (settings.TryGetProperty("include_prompt", out var include) && include.ValueKind is JsonValueKind.False)
            throw Broken(files, path, "leaves prompts out of the pooling (include_prompt), which is not supported");
        return mode switch
        {
            "mean_tokens" or "mean" => Pooling.Mean,
            "cls_token" or "cls" => Pooling.FirstToken,
            "lasttoken" => Pooling.LastToken,
            _ => throw Broken(files, path, $"asks for the pooling \"{mode}\"; mean_tokens, cls_token and lasttoken are supported"),
        };
    }

    private static Dictionary<string, string> PromptsOf(ModelFiles files, JsonElement? sentences)
    {
        var prompts = new Dictionary<string, string>(StringComparer.Ordinal);
        if (sentences is not { } said || !said.TryGetProperty("prompts", out var table) || table.ValueKind is JsonValueKind.Null) return prompts;
        if (table.ValueKind is not JsonValueKind.Object) throw Broken(files, SentenceTransformers, "has prompts that are not a table");
        foreach (var prompt in table.EnumerateObject()) prompts[prompt.Name] = prompt.Value.GetString() ?? "";
        return prompts;
    }

    internal static string? Text(JsonElement? said, string name) =>
        said is { ValueKind: JsonValueKind.Object } table && table.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String
            ? value.GetString() : null;

    internal static bool? Truth(JsonElement? said, string name) =>
        said is { ValueKind: JsonValueKind.Object } table && table.TryGetProperty(name, out var value)
            && value.ValueKind is JsonValueKind.True or JsonValueKind.False ? said.Value.GetProperty(name).GetBoolean() : null;

    internal static int? Whole(JsonElement? said, string name) =>
        said is { ValueKind: JsonValueKind.Object } table && table.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.Number
            && value.TryGetDouble(out var number) ? (int)Math.Min(number, int.MaxValue) : null;

    private static int? Number(ModelFiles files, string path, JsonElement? said, string name)
    {
        if (said is not { ValueKind: JsonValueKind.Object } table || !table.TryGetProperty(name, out var value) || value.ValueKind is JsonValueKind.Null)
        {
            return null;
        }

        return Whole(said, name) is { } number and >= 0 ? number : throw Broken(files, path, $"has {name} = {value.GetRawText()}, which is not a count");
    }

    private static JsonElement? Parse(ModelFiles files, string path)
    {
        if (!files.Has(path)) return null;
        try
        {
            using var document = JsonDocument.Parse(files.Read(path));
            var root = document.RootElement.Clone();
            if (root.ValueKind is not (JsonValueKind.Object or JsonValueKind.Array)) throw Broken(files, path, "is not a JSON object");
            return root;
        }
        catch (JsonException problem)
        {
            throw Broken(files, path, $"is not JSON: {problem.Message}");
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw Broken(files, path, $"cannot be read: {problem.Message}");
        }
    }
}
