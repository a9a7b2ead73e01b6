using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// Computes the digest by which equal calls are recognised: SHA-256 of a canonical JSON document (<see cref="CanonicalJson"/>) that holds everything that
/// shapes the answer and nothing else. docs/request-identity.md describes the document. Calls of the same meaning have the same digest, in whatever dialect and
/// spelling they come.
/// </summary>
internal static class RequestDigest
{
    /// <summary>Changes with the form of the document, so that digests of different forms never meet.</summary>
    private const int Version = 1;

    /// <summary>Members that say who calls, how the call is kept or how its stream looks. None of them shapes the answer.</summary>
    private static readonly HashSet<string> Aside = new(StringComparer.Ordinal)
    {
        "cache_control", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store", "stream_options",
    };

    /// <summary>The digest as 64 hex digits.</summary>
    public static string Of(in RoutedCall routed, ChatRequest request, Stream? copy = null)
    {
        using var json = new CanonicalJson(copy);
        json.StartObject();
        WriteBetas(json, routed.Call.Headers);
        if (request.Format is { } format) WriteFormat(json, format);
        if (request.LogProbabilities is true) json.Name("logprobs").Flag(true);
        RequestDigestMessages.Write(json, request);
        json.Name("model").Text(routed.Model);
        if (request.Choices is { } choices and not 1) json.Name("n").Number(choices);
        WriteOthers(json, request, routed.Call.Dialect);
        if (request.ParallelToolCalls is { } parallel) json.Name("parallel_tool_calls").Flag(parallel);
        Write(json, "pipeline", routed.Pipeline);
        if (request.Prompt is { } prompt) WritePrompt(json, prompt);
        if (routed.Call.Info.Wishes?.Rag is { } rag) WriteRag(json, rag);
        WriteSampling(json, request);
        if (request.Thinking is { } thinking) WriteThinking(json, thinking);
        if (request.ToolChoice is { } choice && choice is not { Mode: "auto", Name: null }) WriteToolChoice(json, choice);
        WriteTools(json, request);
        if (request.TopLogProbabilities is { } top) json.Name("top_logprobs").Number(top);
        json.Name("v").Number(Version);
        Write(json, "workspace", routed.Workspace);
        json.EndObject();
        return json.Digest();
    }

    /// <summary>
    /// Writes the members that <see cref="ChatRequest"/> does not name, as <c>other</c>. They have a meaning only in their own dialect, so they stand under its
    /// name.
    /// </summary>
    internal static void WriteOthers(CanonicalJson json, DialectName? origin, IEnumerable<KeyValuePair<string, JsonElement>> members)
    {
        KeyValuePair<string, JsonElement>[] counted =
            [.. members.Where(static member => member.Value.ValueKind is not JsonValueKind.Null && !Aside.Contains(member.Key))];
        if (counted.Length == 0) return;
        json.Name("other").StartObject().Name(Word(origin)).StartObject();
        foreach (var (name, value) in counted.OrderBy(static member => member.Key, StringComparer.Ordinal)) json.Name(name).Value(value);
        json.EndObject().EndObject();
    }

    /// <summary>Writes a text, unless it is null or empty.</summary>
    internal static void Write(CanonicalJson json, string name, string? text)
    {
        if (!string.IsNullOrEmpty(text)) json.Name(name).Text(text);
    }

    /// <summary>The name of a dialect, or of the two dialects of one API.</summary>
    internal static string Word(DialectName? origin) => origin switch
    {
        DialectName.OpenAiChat or DialectName.OpenAiCompletions => "openai",
        DialectName.OpenAiResponses => "responses",
        DialectName.OllamaChat or DialectName.OllamaGenerate => "ollama",
        DialectName.Anthropic => "anthropic",
        _ => "",
    };

    private static void WriteOthers(CanonicalJson json, ChatRequest request, ClientDialect dialect) =>
        WriteOthers(json, request.Origin, request.Unknown.Concat(request.AsItCame.Where(member =>
            !dialect.IsOnlySpelling(member.Key, member.Value, request) && request.Unknown.All(known => known.Key != member.Key))));

    /// <summary>Writes what the headers <c>anthropic-beta</c> and <c>openai-beta</c> switch on.</summary>
    private static void WriteBetas(CanonicalJson json, IReadOnlyList<KeyValuePair<string, string>> headers)
    {
        var betas = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var (name, value) in headers)
        {
            if (name.EndsWith("-beta", StringComparison.OrdinalIgnoreCase))
                betas.UnionWith(value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
        }

        if (betas.Count == 0) return;
        json.Name("betas").StartList();
        foreach (var beta in betas) json.Text(beta);
        json.EndList();
    }

    private static void WriteFormat(CanonicalJson json, OutputFormat format)
    {
        json.Name("format").StartObject();
        Write(json, "description", format.Description);
        if (format.Name is not "answer") Write(json, "name", format.Name); // the name that is given to a schema without one
        if (format.Schema is { } schema) json.Name("schema").Value(schema);
        if (format.Strict is { } strict) json.Name("strict").Flag(strict);
        json.EndObject();
    }

    private static void WritePrompt(CanonicalJson json, Prompt prompt)
    {
        // A prompt that is a question is the same as a chat with one message.
        if (prompt is { Continues: false, Raw: false, Echo: false, Suffix: null, Template: null, Context: null, NotOneText: null, BestOf: null or 1 }) return;
        json.Name("prompt").StartObject();
        if (prompt.BestOf is { } best and not 1) json.Name("best_of").Number(best);
        if (prompt.Context is { } context) json.Name("context").Value(context);
        if (prompt.Continues) json.Name("continues").Flag(true);
        if (prompt.Echo) json.Name("echo").Flag(true);
        if (prompt.NotOneText is { } several) json.Name("not_one_text").Value(several);
        if (prompt.Raw) json.Name("raw").Flag(true);
        Write(json, "suffix", prompt.Suffix);
        Write(json, "template", prompt.Template);
        json.EndObject();
    }

    /// <summary>Writes how documents are searched. Whether the search is traced does not shape the answer.</summary>
    private static void WriteRag(CanonicalJson json, RagWishes rag)
    {
        if ((rag.Filter ?? rag.Rerank ?? rag.Threshold ?? rag.TopK) is null) return;
        json.Name("rag").StartObject();
        Write(json, "filter", rag.Filter);
        Write(json, "rerank", rag.Rerank);
        Write(json, "threshold", rag.Threshold);
        Write(json, "top_k", rag.TopK);
        json.EndObject();
    }

    private static void WriteSampling(CanonicalJson json, ChatRequest request)
    {
        var sampling = request.Sampling;
        json.Name("sampling").StartObject();
        Write(json, "context_length", sampling.ContextLength);
        Write(json, "frequency_penalty", sampling.FrequencyPenalty);
        Write(json, "max_tokens", sampling.MaxTokens);
        Write(json, "min_p", sampling.MinP);
        WriteOthers(json, request.Origin, sampling.Unknown);
        Write(json, "presence_penalty", sampling.PresencePenalty);
        Write(json, "repeat_penalty", sampling.RepeatPenalty);
        Write(json, "seed", sampling.Seed);
        if (sampling.Stop.Count > 0)
        {
            json.Name("stop").StartList();
            foreach (var stop in sampling.Stop) json.Text(stop);
            json.EndList();
        }

        Write(json, "temperature", sampling.Temperature);
        Write(json, "top_k", sampling.TopK);
        Write(json, "top_p", sampling.TopP);
        json.EndObject();
    }

    private static void WriteThinking(CanonicalJson json, Thinking thinking)
    {
        json.Name("thinking").StartObject();
        if (thinking.Enabled)
        {
            Write(json, "budget", thinking.Budget);
            Write(json, "effort", thinking.Effort);
        }

        json.Name("enabled").Flag(thinking.Enabled).EndObject();
    }

    private static void WriteToolChoice(CanonicalJson json, ToolChoice choice)
    {
        json.Name("tool_choice").StartObject().Name("mode").Text(choice.Mode);
        Write(json, "name", choice.Name);
        json.EndObject();
    }

    private static void WriteTools(CanonicalJson json, ChatRequest request)
    {
        if (request.Tools.Count == 0) return;
        json.Name("tools").StartList();
        foreach (var tool in request.Tools)
        {
            json.StartObject();
            Write(json, "description", tool.Description);
            Write(json, "name", tool.Name);
            Write(json, "namespace", tool.Namespace);
            if (tool.Raw is { } raw) WriteOthers(json, request.Origin, tool.Name.Length == 0 ? [new("tool", raw)] : Unheld(raw));
            if (tool.Parameters is { } parameters) json.Name("parameters").Value(parameters);
            if (tool.Strict is { } strict) json.Name("strict").Flag(strict);
            if (tool.TakesText) json.Name("takes_text").Flag(true);
            json.EndObject();
        }

        json.EndList();
    }

    /// <summary>
    /// The members of a tool as it came that <see cref="ToolDefinition"/> does not hold. Those of its function have <c>function</c> before their names.
    /// </summary>
    private static IEnumerable<KeyValuePair<string, JsonElement>> Unheld(JsonElement tool, string place = "") =>
        from member in tool.EnumerateObject()
        from unheld in member switch
        {
            { Name: "function", Value.ValueKind: JsonValueKind.Object } when place.Length == 0 => Unheld(member.Value, "function."),
            _ when IsHeld(member) || Aside.Contains(member.Name) => [],
            _ => [new(place + member.Name, member.Value)],
        }
        select unheld;

    private static bool IsHeld(JsonProperty member) => member.Name switch
    {
        "name" or "description" => member.Value.ValueKind is JsonValueKind.String,
        "parameters" or "input_schema" => true,
        "strict" => member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "type" => member.Value.ValueKind is JsonValueKind.String && member.Value.GetString() is "function" or "custom",
        _ => false,
    };

    private static void Write(CanonicalJson json, string name, double? number)
    {
        if (number is { } value) json.Name(name).Number(value);
    }

    private static void Write(CanonicalJson json, string name, long? number)
    {
        if (number is { } value) json.Name(name).Number(value);
    }
}
