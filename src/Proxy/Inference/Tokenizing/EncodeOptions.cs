namespace Proxy.Inference.Tokenizing;

/// <summary>Which end of a text is cut off when it is too long.</summary>
internal enum CutSide { Right, Left }

/// <summary>Which text of a pair is cut when both together are too long.</summary>
internal enum PairCut { LongestFirst, OnlySecond }

/// <summary>How a text is encoded. The tokenizer file's own settings for truncation and padding are ignored.</summary>
internal sealed record EncodeOptions
{
    public static EncodeOptions Default { get; } = new();

    /// <summary>Whether the model's special tokens are added around the text. Special tokens inside the text are found in any case.</summary>
    public bool SpecialTokens { get; init; } = true;

    /// <summary>The most tokens in the result, special ones included.</summary>
    public int MaxLength { get; init; } = int.MaxValue;

    public CutSide Cut { get; init; }

    public PairCut Pair { get; init; }

    /// <summary>Whether <see cref="TokenList.Offsets"/> is filled; it costs about half as much again.</summary>
    public bool Offsets { get; init; }
}
