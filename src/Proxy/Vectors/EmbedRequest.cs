namespace Proxy.Vectors;

/// <summary>One text to embed, or the token ids of one. Ids are taken as they are: no prompt and no special token is added to them.</summary>
internal readonly record struct EmbedInput
{
    public EmbedInput(string text) => Text = text;

    public EmbedInput(int[] tokenIds) => TokenIds = tokenIds;

    public string? Text { get; }
    public int[]? TokenIds { get; }
}

/// <summary>What the texts are for. Models that were trained with prefixes, or treat queries in their own way, care.</summary>
internal enum PromptKind
{
    /// <summary>The model's default prompt, if its folder names one; else the text alone.</summary>
    Unsaid,
    Query,
    Document,
}

/// <summary>Texts to embed in one call.</summary>
internal sealed record EmbedRequest(IReadOnlyList<EmbedInput> Inputs)
{
    /// <summary>Numbers to keep of each vector, from its head; what remains is normalised again where the whole would be. Null: all of them.</summary>
    public int? Dimensions { get; init; }

    /// <summary>Cut what is too long; otherwise <see cref="VectorErrorKind.TooLong"/>.</summary>
    public bool Truncate { get; init; }

    /// <summary>Cut from the head of a text, not from its tail.</summary>
    public bool TruncateLeft { get; init; }

    /// <summary>Scale each vector to length 1. Null: as the model was made, which for most is yes.</summary>
    public bool? Normalize { get; init; }

    public PromptKind Prompt { get; init; }

    /// <summary>A prompt by its name in the model's folder; goes before <see cref="Prompt"/>.</summary>
    public string? PromptName { get; init; }
}

/// <summary>One vector an input, in the inputs' order.</summary>
/// <param name="Values">All vectors, one behind the other.</param>
/// <param name="Dimensions">Numbers in each.</param>
/// <param name="Tokens">Tokens read for each input, the special ones included, after cutting; empty where a host does not say.</param>
internal sealed record VectorBatch(ReadOnlyMemory<float> Values, int Dimensions, IReadOnlyList<int> Tokens)
{
    /// <summary>Tokens read for all inputs together; null where a host does not say.</summary>
    public int? TokensOfAll { get; init; } = Tokens.Count > 0 ? Tokens.Sum() : null;

    public int Count => Dimensions == 0 ? 0 : Values.Length / Dimensions;

    public ReadOnlySpan<float> this[int input] => Values.Span.Slice(input * Dimensions, Dimensions);

    /// <summary>The head of each vector, scaled to length 1 again where <paramref name="normalize"/> says so.</summary>
    public VectorBatch Cut(int dimensions, bool normalize)
    {
        var values = new float[Count * dimensions];
        for (var i = 0; i < Count; i++)
        {
            var head = values.AsSpan(i * dimensions, dimensions);
            this[i][..dimensions].CopyTo(head);
            if (normalize) Scale(head);
        }

        return this with { Values = values, Dimensions = dimensions };
    }

    /// <summary>Every vector scaled to length 1; itself where they have it already.</summary>
    public VectorBatch Normalized()
    {
        for (var i = 0; i < Count; i++)
        {
            if (Math.Abs(SquareOf(this[i]) - 1) > 1e-3) return Cut(Dimensions, normalize: true);
        }

        return this;
    }

    private static void Scale(Span<float> vector)
    {
        var length = Math.Sqrt(SquareOf(vector));
        if (length == 0) return;
        for (var i = 0; i < vector.Length; i++) vector[i] = (float)(vector[i] / length);
    }

    private static double SquareOf(ReadOnlySpan<float> vector)
    {
        var sum = 0.0;
        foreach (var value in vector) sum += (double)value * value;
        return sum;
    }
}

/// <summary>One vector a token: the whole last layer, before pooling.</summary>
/// <param name="Matrices">For each input its vectors, one behind the other.</param>
/// <param name="Dimensions">Numbers in each vector.</param>
/// <param name="Tokens">Tokens read for each input.</param>
internal sealed record TokenVectors(IReadOnlyList<ReadOnlyMemory<float>> Matrices, int Dimensions, IReadOnlyList<int> Tokens);

/// <summary>One token of a text. <paramref name="Text"/> is the text's own slice, and <paramref name="Start"/> to <paramref name="Stop"/> its place in the UTF-8 bytes; a special token has a name and no place.</summary>
internal readonly record struct TextToken(int Id, string Text, bool Special, int? Start, int? Stop);
