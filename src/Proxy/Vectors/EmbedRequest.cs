namespace Proxy.Vectors;

/// <summary>One text to embed, or its token ids. Token ids are used as given: no prompt and no special tokens are added.</summary>
internal readonly record struct EmbedInput
{
    public EmbedInput(string text) => Text = text;

    public EmbedInput(int[] tokenIds) => TokenIds = tokenIds;

    public string? Text { get; }
    public int[]? TokenIds { get; }
}

/// <summary>What the texts are for. It matters to models that were trained with prefixes or that treat queries differently from documents.</summary>
internal enum PromptKind
{
    /// <summary>The model's default prompt, if its folder names one; otherwise the text alone.</summary>
    Unsaid,
    Query,
    Document,
}

/// <summary>Texts to embed in one call.</summary>
internal sealed record EmbedRequest(IReadOnlyList<EmbedInput> Inputs)
{
    /// <summary>How many leading numbers of each vector to keep; a shortened vector is normalised again if the whole one would be. Null: all of them.</summary>
    public int? Dimensions { get; init; }

    /// <summary>Cut inputs that are too long; otherwise they fail with <see cref="VectorErrorKind.TooLong"/>.</summary>
    public bool Truncate { get; init; }

    /// <summary>Cut from the beginning of a text and not from its end.</summary>
    public bool TruncateLeft { get; init; }

    /// <summary>Scale each vector to length 1. Null: the model's default, which is yes for most models.</summary>
    public bool? Normalize { get; init; }

    /// <summary>Whether a model of this process computes it only when no other call waits. Hosts are not told.</summary>
    public bool IsBackground { get; init; }

    /// <summary>The <c>traceparent</c> that hosts get, if not that of the call.</summary>
    public string? TraceParent { get; init; }

    public PromptKind Prompt { get; init; }

    /// <summary>A prompt by its name in the model's folder; takes precedence over <see cref="Prompt"/>.</summary>
    public string? PromptName { get; init; }
}

/// <summary>One vector per input, in the inputs' order.</summary>
/// <param name="Values">All vectors, one after the other.</param>
/// <param name="Dimensions">Numbers per vector.</param>
/// <param name="Tokens">Tokens read for each input after truncation, special tokens included; empty if a host does not report them.</param>
internal sealed record VectorBatch(ReadOnlyMemory<float> Values, int Dimensions, IReadOnlyList<int> Tokens)
{
    /// <summary>Tokens read for all inputs together; null if a host does not report them.</summary>
    public int? TokensOfAll { get; init; } = Tokens.Count > 0 ? Tokens.Sum() : null;

    public int Count => Dimensions == 0 ? 0 : Values.Length / Dimensions;

    public ReadOnlySpan<float> this[int input] => Values.Span.Slice(input * Dimensions, Dimensions);

    /// <summary>The first <paramref name="dimensions"/> numbers of each vector, scaled to length 1 if <paramref name="normalize"/> is set.</summary>
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

    /// <summary>Every vector scaled to length 1; this batch itself if all vectors have that length already.</summary>
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

/// <summary>One vector per token: the whole last layer, before pooling.</summary>
/// <param name="Matrices">For each input, its vectors one after the other.</param>
/// <param name="Dimensions">Numbers per vector.</param>
/// <param name="Tokens">Tokens read for each input.</param>
internal sealed record TokenVectors(IReadOnlyList<ReadOnlyMemory<float>> Matrices, int Dimensions, IReadOnlyList<int> Tokens);

/// <summary>
/// One token of a text. <paramref name="Text"/> is its slice of the text, and <paramref name="Start"/> and <paramref name="Stop"/> are its position in the
/// UTF-8 bytes. A special token has its name as <paramref name="Text"/> and no position.
/// </summary>
internal readonly record struct TextToken(int Id, string Text, bool Special, int? Start, int? Stop)
{
    /// <summary>The token stands for text that the model's vocabulary lacks.</summary>
    public bool IsUnknown { get; init; }
}
