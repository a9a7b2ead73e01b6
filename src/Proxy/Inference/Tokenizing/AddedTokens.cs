using System.Buffers;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>A token that is looked for literally in a text before the model gets the text.</summary>
internal sealed record AddedToken(int Id, string Content, bool SingleWord, bool StripLeft, bool StripRight, bool Normalized, bool Special);

/// <summary>Finds added tokens: the leftmost, and at the same position the longest.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<string, AddedToken>.AlternateLookup<ReadOnlySpan<char>> tokens;
    private readonly SearchValues<char> firsts;

    /// <summary>By first char, the lengths of the tokens, longest first.</summary>
    private readonly Dictionary<char, int[]> lengths;

    /// <param name="tokens">The text to look for, and its token.</param>
    public AddedTokens(IEnumerable<(string Content, AddedToken Token)> tokens)
    {
        var found = new Dictionary<string, AddedToken>(StringComparer.Ordinal);
        foreach (var (content, token) in tokens)
        {
            if (content.Length > 0) found[content] = token;
        }

        this.tokens = found.GetAlternateLookup<ReadOnlySpan<char>>();
        lengths = found.Keys.GroupBy(content => content[0])
            .ToDictionary(group => group.Key, group => group.Select(content => content.Length).Distinct().OrderDescending().ToArray());
        firsts = SearchValues.Create([.. lengths.Keys]);
    }

    public bool Any => lengths.Count > 0;

    /// <summary>The next token from <paramref name="start"/> on; the part before it is text. False if there is none.</summary>
    /// <param name="taken">The end of the previous token: white space left of a token may belong to it down to here.</param>
    public bool TryFind(ReadOnlySpan<char> text, int start, int taken, out (int Start, int End, AddedToken Token) match)
    {
        while (start < text.Length)
        {
            var next = text[start..].IndexOfAny(firsts);
            if (next < 0) break;
            start += next;
            if (Longest(text[start..]) is not { } found)
            {
                start++;
                continue;
            }

            var (from, to) = (start, start + found.Length);
            if (found.Token.SingleWord && (WordBefore(text[..from]) || WordAfter(text[to..])))
            {
                start = to;
                continue;
            }

            if (found.Token.StripLeft) from = Math.Max(taken, text[..from].TrimEnd().Length);
            if (found.Token.StripRight) to = text.Length - text[to..].TrimStart().Length;
            match = (from, to, found.Token);
            return true;
        }

        match = default;
        return false;
    }

    private (int Length, AddedToken Token)? Longest(ReadOnlySpan<char> text)
    {
        foreach (var length in lengths[text[0]])
        {
            if (length <= text.Length && tokens.TryGetValue(text[..length], out var token)) return (length, token);
        }

        return null;
    }

    private static bool WordBefore(ReadOnlySpan<char> text) =>
        Rune.DecodeLastFromUtf16(text, out var rune, out _) == OperationStatus.Done && UnicodeData.IsWord(rune.Value);

    private static bool WordAfter(ReadOnlySpan<char> text) =>
        Rune.DecodeFromUtf16(text, out var rune, out _) == OperationStatus.Done && UnicodeData.IsWord(rune.Value);
}
