using System.Text.RegularExpressions;

namespace Proxy.Inference.Tokenizing;

/// <summary>A pattern of the tokenizer file: a literal or a regular expression. Immutable.</summary>
internal abstract class SplitPattern
{
    /// <summary>Calls the cutter with every match in <c>scratch.Text[start..end]</c>, ignoring the text around it.</summary>
    public abstract void Find(TextScratch scratch, int start, int end, ref PieceCutter cutter);

    internal sealed class Literal(string text) : SplitPattern
    {
        public override void Find(TextScratch scratch, int start, int end, ref PieceCutter cutter)
        {
            var chars = scratch.Text.Chars[..end];
            while (text.Length > 0 && chars[start..].IndexOf(text, StringComparison.Ordinal) is var next and >= 0)
            {
                cutter.Match(start + next, start + next + text.Length);
                start += next + text.Length;
            }
        }
    }

    /// <summary>
    /// An interpreted expression. .NET matches UTF-16 units, the reference code points, so each surrogate pair is replaced by one char of the same category.
    /// </summary>
    internal sealed class Expression(Regex regex) : SplitPattern
    {
        public override void Find(TextScratch scratch, int start, int end, ref PieceCutter cutter)
        {
            var chars = scratch.Text.Chars[start..end];
            if (!chars.ContainsAnyInRange('\uD800', '\uDFFF'))
            {
                foreach (var match in regex.EnumerateMatches(chars)) cutter.Match(start + match.Index, start + match.Index + match.Length);
                return;
            }

            var shadow = scratch.ShadowOf(chars.Length);
            var places = scratch.NumbersOf(chars.Length + 1);
            var count = 0;
            for (var i = 0; i < chars.Length;)
            {
                var rune = scratch.Text.RuneAt(start + i, out var length);
                places[count] = i;
                shadow[count++] = length == 1 ? chars[i] : UnicodeData.StandIn(rune);
                i += length;
            }

            places[count] = chars.Length;
            foreach (var match in regex.EnumerateMatches(shadow.AsSpan(0, count)))
            {
                cutter.Match(start + places[match.Index], start + places[match.Index + match.Length]);
            }
        }
    }

    /// <summary>Matches every code point of a kind separately.</summary>
    internal sealed class Each(Func<int, bool> wanted) : SplitPattern
    {
        public override void Find(TextScratch scratch, int start, int end, ref PieceCutter cutter)
        {
            for (var i = start; i < end;)
            {
                var rune = scratch.Text.RuneAt(i, out var length);
                if (wanted(rune)) cutter.Match(i, i + length);
                i += length;
            }
        }
    }
}
