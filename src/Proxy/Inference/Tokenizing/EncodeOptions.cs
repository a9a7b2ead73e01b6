namespace Proxy.Inference.Tokenizing;

/// <summary>Which end of a text is cut off when it is too long.</summary>
internal enum CutSide { Right, Left }

/// <summary>Which text of a pair is cut when both together are too long.</summary>
internal enum PairCut { LongestFirst, OnlySecond }

/// <summary>How a text is to be encoded. What the tokenizer file itself says of truncation and padding is never done.</summary>
internal sealed record EncodeOptions
{
    public static EncodeOptions Default { get; } = new();

    /// <summary>Whether the model's special tokens are put around the text. Those that stand in the text are found either way.</summary>
    public bool SpecialTokens { get; init; } = true;

    /// <summary>The most tokens that come out, special ones included.</summary>
    public int MaxLength { get; init; } = int.MaxValue;

    public CutSide Cut { get; init; }

    public PairCut Pair { get; init; }

    /// <summary>Whether <see cref="TokenList.Offsets"/> is filled; it costs about half as much again.</summary>
    public bool Offsets { get; init; }
}
