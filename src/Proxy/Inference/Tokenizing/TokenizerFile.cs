using System.Text.Json;

namespace Proxy.Inference.Tokenizing;

/// <summary>Reads a Hugging Face <c>tokenizer.json</c>. Wrong or unsupported values throw a <see cref="TokenizerException"/> that names the place.</summary>
internal static partial class TokenizerFile
{
    private static readonly string[] PaddingTokens = ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"];

    /// <summary>Reads the file; messages use its name without the folder.</summary>
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

    /// <param name="name">The file's name in messages.</param>
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
    private static int Id(JsonPlace id) => id.Number is var number and >= 0 and < 1 << 24 ? number : throw id.Wrong($"is not an id: {id.Number}");
}
