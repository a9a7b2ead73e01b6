namespace Proxy.Inference.Tokenizing;

/// <summary>How special tokens stand around one text or two, and which type id each token gets.</summary>
/// <param name="TrimOffsets">Whether offsets leave out the spaces that a piece begins or ends with.</param>
/// <param name="PrefixSpace">Whether a space was put before the text, so that trimming does not take one that is not there.</param>
internal sealed record PostProcessor(PostProcessor.Part[] Single, PostProcessor.Part[] Pair, bool TrimOffsets, bool PrefixSpace)
{
    internal enum Source { Special, First, Second }

    internal readonly record struct Part(Source Source, byte Type, int[] Ids);

    public static PostProcessor None { get; } = new([new(Source.First, 0, [])], [new(Source.First, 0, []), new(Source.Second, 1, [])], false, false);

    /// <summary>How many special tokens one text or two get.</summary>
    public int SpecialCount(bool pair) => SpecialCount(pair ? Pair : Single);

    public static int SpecialCount(Part[] template)
    {
        var count = 0;
        foreach (var part in template) count += part.Ids.Length;
        return count;
    }
}
