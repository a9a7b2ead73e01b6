namespace Proxy.Vectors;

/// <summary>Every reason for which a model refuses a call. Each client dialect maps it to a status and a message.</summary>
internal enum VectorErrorKind
{
    /// <summary>
    /// An input is longer than the model reads, and the call forbids truncation. <see cref="VectorError.Input"/>, <see cref="VectorError.Tokens"/> and
    /// <see cref="VectorError.Limit"/> say which input, its length and the limit.
    /// </summary>
    TooLong,

    /// <summary>The model cannot read an input, for example a token id beyond its vocabulary.</summary>
    InvalidInput,

    /// <summary>The call asks for more dimensions than the model has.</summary>
    InvalidDimensions,

    /// <summary>The model's folder has no prompt of that name.</summary>
    UnknownPrompt,

    /// <summary>The model has another purpose, for example a reranker that is asked to embed.</summary>
    WrongKind,

    /// <summary>The queue is full; the caller may try again later.</summary>
    Overloaded,

    /// <summary>The model cannot be loaded, or running it failed.</summary>
    Failed,
}

/// <summary>A refusal. Its message tells the user of the client what to change.</summary>
internal sealed record VectorError(VectorErrorKind Kind, string Message)
{
    /// <summary>The index of the input (or document) that is at fault, from 0.</summary>
    public int? Input { get; init; }

    /// <summary>The number of tokens in that input.</summary>
    public int? Tokens { get; init; }

    /// <summary>The number of tokens that it may have.</summary>
    public int? Limit { get; init; }
}
