namespace Proxy.Inference.Tokenizing;

/// <summary>Where special tokens are added around one text or a pair, and which type id each token gets.</summary>
/// <param name="TrimOffsets">Whether offsets exclude the spaces with which a piece begins or ends.</param>
/// <param name="PrefixSpace">Whether a space was added before the text, so that trimming does not remove a space that is not in it.</param>
internal sealed record PostProcessor(PostProcessor.Part[] Single, PostProcessor.Part[] Pair, bool TrimOffsets, bool PrefixSpace)
{
    internal enum Source { Special, First, Second }

    internal readonly record struct Part(Source Source, byte Type, int[] Ids);

    public static PostProcessor None { get; } = new([new(Source.First, 0, [])], [new(Source.First, 0, []), new(Source.Second, 1, [])], false, false);

    /// <summary>Number of special tokens for one text or a pair.</summary>
    public int SpecialCount(bool pair) => SpecialCount(pair ? Pair : Single);

    public static int SpecialCount(Part[] template)
    {
        var count = 0;
        foreach (var part in template) count += part.Ids.Length;
        return count;
    }
}
