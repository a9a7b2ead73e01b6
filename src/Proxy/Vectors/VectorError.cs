namespace Proxy.Vectors;

/// <summary>Every way a model refuses a call. The edge gives each its status and its dialect's words.</summary>
internal enum VectorErrorKind
{
    /// <summary>An input is longer than the model reads, and the call forbids to cut it. <see cref="VectorError.Input"/>, <see cref="VectorError.Tokens"/> and <see cref="VectorError.Limit"/> say which, and by how much.</summary>
    TooLong,

    /// <summary>An input is nothing that the model can read: a token id beyond its vocabulary, say.</summary>
    InvalidInput,

    /// <summary>More dimensions than the model has.</summary>
    InvalidDimensions,

    /// <summary>No prompt of that name in the model's folder.</summary>
    UnknownPrompt,

    /// <summary>The model does something else: a reranker asked to embed.</summary>
    WrongKind,

    /// <summary>The queue is full; come back later.</summary>
    Overloaded,

    /// <summary>The model cannot be loaded or its run failed.</summary>
    Failed,
}

/// <summary>A refusal, in words a client's user can act on.</summary>
internal sealed record VectorError(VectorErrorKind Kind, string Message)
{
    /// <summary>Which of the call's inputs (or documents) is at fault, from 0.</summary>
    public int? Input { get; init; }

    /// <summary>Tokens that the input has.</summary>
    public int? Tokens { get; init; }

    /// <summary>Tokens that it may have.</summary>
    public int? Limit { get; init; }
}
