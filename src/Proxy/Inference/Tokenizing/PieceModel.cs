namespace Proxy.Inference.Tokenizing;

/// <summary>Splits one piece of text into tokens of its vocabulary. Immutable and thread-safe.</summary>
internal abstract class PieceModel
{
    /// <summary>Appends the tokens of <c>scratch.Text[start..end]</c>, which is not empty.</summary>
    public abstract void Encode(TextScratch scratch, int start, int end, TokenRun output);

    /// <summary>The id of a piece; -1 if the vocabulary has none.</summary>
    public abstract int IdOf(ReadOnlySpan<char> piece);

    /// <summary>The id of the token for text that the vocabulary lacks; -1 if the model has none.</summary>
    public abstract int UnknownId { get; }
}
