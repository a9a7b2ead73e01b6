namespace Proxy.Inference.Tokenizing;

/// <summary>BERT's normalisation: removes control characters, unifies spaces, separates CJK ideographs, removes accents, lower-cases.</summary>
internal sealed class BertNormalizer(bool clean, bool spaceIdeographs, bool stripAccents, bool lowercase) : Normalizer
{
    /// <summary>The replacement of each ASCII char; 0 if it is removed.</summary>
    private readonly char[] ascii = [.. Enumerable.Range(0, 128).Select(c => Ascii((char)c, clean, lowercase))];

    public override void Apply(TextScratch scratch)
    {
        if (!scratch.Text.Chars.ContainsAnyExceptInRange('\u0001', '\u007F'))
        {
            ApplyToAscii(scratch.Text);
            return;
        }

        if (clean || spaceIdeographs)
        {
            Clean(scratch.Text, scratch.StartSpare());
            scratch.Swap();
        }

        if (stripAccents)
        {
            NormalForms.Apply(scratch, compatible: false, compose: false);
            Remove(scratch, static rune => rune >= 0x300 && UnicodeData.IsNonspacingMark(rune));
        }

        if (lowercase) Lower(scratch);
    }

    private void ApplyToAscii(TextBuffer text)
    {
        var chars = text.Writable;
        var table = ascii;
        var kept = 0;
        for (var i = 0; i < chars.Length; i++)
        {
            var c = table[chars[i]];
            if (c == 0) continue;
            text.Move(i, kept++, c);
        }

        text.Truncate(kept);
    }

    private void Clean(TextBuffer text, TextBuffer output)
    {
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            var (from, to) = (text.From(i), text.To(i));
            i += length;
            if (clean)
            {
                if (rune is 0 or 0xFFFD || rune is not ('\t' or '\n' or '\r') && UnicodeData.IsOther(rune)) continue;
                if (UnicodeData.IsWhiteSpace(rune)) rune = ' ';
            }

            if (spaceIdeographs && IsIdeograph(rune))
            {
                output.Append(' ', from, to);
                output.AppendRune(rune, from, to);
                output.Append(' ', from, to);
            }
            else
            {
                output.AppendRune(rune, from, to);
            }
        }
    }

    /// <summary>The blocks in BERT's list, with its mistake of 2B920 instead of 2B820.</summary>
    private static bool IsIdeograph(int rune) => rune >= 0x3400 && rune is
        >= 0x4E00 and <= 0x9FFF or >= 0x3400 and <= 0x4DBF or >= 0x20000 and <= 0x2A6DF or >= 0x2A700 and <= 0x2B73F or >= 0x2B740 and <= 0x2B81F or
        >= 0x2B920 and <= 0x2CEAF or >= 0xF900 and <= 0xFAFF or >= 0x2F800 and <= 0x2FA1F;

    private static char Ascii(char c, bool clean, bool lowercase)
    {
        if (clean && char.IsControl(c)) return c is '\t' or '\n' or '\r' ? ' ' : '\0';
        return lowercase && char.IsAsciiLetterUpper(c) ? (char)(c | ' ') : c;
    }
}
