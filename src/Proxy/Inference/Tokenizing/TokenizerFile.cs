using System.Text.Json;

namespace Proxy.Inference.Tokenizing;

/// <summary>Reads a Hugging Face <c>tokenizer.json</c>. What is wrong or not known in it throws a <see cref="TokenizerException"/> that says where.</summary>
internal static partial class TokenizerFile
{
    private static readonly string[] PaddingTokens = ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"];

    /// <summary>Reads the file; complaints call it by its name without the folder.</summary>
    public static Tokenizer Load(string path)
    {
        byte[] json;
        try
        {
            json = File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new TokenizerException($"{Path.GetFileName(path)}: cannot be read: {error.Message}", error);
        }

        return Parse(json, Path.GetFileName(path));
    }

    /// <param name="name">What complaints call the file.</param>
    public static Tokenizer Parse(ReadOnlyMemory<byte> json, string name = "tokenizer.json")
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return Read(new(document.RootElement, name, ""));
        }
        catch (JsonException error)
        {
            throw new TokenizerException($"{name}: is not JSON: {error.Message}", error);
        }
    }

    private static Tokenizer Read(JsonPlace file)
    {
        var added = file.Optional("added_tokens") is { IsNull: false } list ? list.Items.Select(ReadAdded).ToArray() : [];
        var (model, pieces) = ReadModel(file["model"]);
        return new(
            file.Optional("normalizer") is { IsNull: false } normalizer ? ReadNormalizer(normalizer) : null,
            file.Optional("pre_tokenizer") is { IsNull: false } preTokenizer ? ReadPreTokenizer(preTokenizer) : null,
            model,
            file.Optional("post_processor") is { IsNull: false } post ? ReadPostProcessor(post) : PostProcessor.None,
            file.Optional("decoder") is { IsNull: false } decoder ? ReadDecoder(decoder) : new TokenDecoder.Spaced(),
            new(pieces),
            added)
        {
            PaddingId = file.Optional("padding") is { IsNull: false } padding && padding.Optional("pad_id") is { IsNull: false } id
                ? id.Number
                : PaddingTokens.Select(token => added.FirstOrDefault(a => a.Content == token)?.Id).FirstOrDefault(found => found is not null),
        };
    }

    private static AddedToken ReadAdded(JsonPlace token) => new(
        Id(token["id"]), token["content"].Text, token.Flag("single_word", false), token.Flag("lstrip", false), token.Flag("rstrip", false),
        token.Flag("normalized", !token.Flag("special", false)), token.Flag("special", false));

    /// <summary>An id; a vocabulary has fewer than 16 million.</summary>
    private static int Id(JsonPlace id) => id.Number is var number and >= 0 and < 1 << 24 ? number : throw id.Wrong($"is no id: {id.Number}");

    private static Normalizer ReadNormalizer(JsonPlace normalizer) => normalizer.Type switch
    {
        "Sequence" => new Normalizer.Sequence([.. normalizer["normalizers"].Items.Select(ReadNormalizer)]),
        "BertNormalizer" => new BertNormalizer(
            normalizer.Flag("clean_text", true), normalizer.Flag("handle_chinese_chars", true),
            normalizer.Flag("strip_accents", normalizer.Flag("lowercase", true)), normalizer.Flag("lowercase", true)),
        "NFC" => new Normalizer.Form(compatible: false, compose: true),
        "NFD" => new Normalizer.Form(compatible: false, compose: false),
        "NFKC" => new Normalizer.Form(compatible: true, compose: true),
        "NFKD" => new Normalizer.Form(compatible: true, compose: false),
        "Lowercase" => new Normalizer.Lowercase(),
        "StripAccents" => new Normalizer.StripAccents(),
        var type => throw normalizer.Unknown(type),
    };

    private static PreTokenizer ReadPreTokenizer(JsonPlace preTokenizer) => preTokenizer.Type switch
    {
        "Sequence" => new PreTokenizer.Sequence([.. preTokenizer["pretokenizers"].Items.Select(ReadPreTokenizer)]),
        "BertPreTokenizer" => new PreTokenizer.Bert(),
        var type => throw preTokenizer.Unknown(type),
    };

    private static TokenDecoder ReadDecoder(JsonPlace decoder) => decoder.Type switch
    {
        "WordPiece" => new TokenDecoder.WordPiece(decoder.TextOrNull("prefix") ?? "##", decoder.Flag("cleanup", true)),
        _ => new TokenDecoder.Spaced(),
    };
}
