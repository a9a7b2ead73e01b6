namespace Proxy.Inference.Tokenizing;

/// <summary>The four normalisation forms of Unicode (UAX 15). string.Normalize does nothing under invariant globalization.</summary>
internal static class NormalForms
{
    public static void Apply(TextScratch scratch, bool compatible, bool compose)
    {
        // Chars up to this one do not decompose and do not compose with another.
        var last = compose ? compatible ? '\u009F' : '\u02FF' : compatible ? '\u009F' : '\u00BF';
        if (!scratch.Text.Chars.ContainsAnyExceptInRange('\0', last)) return;

        Decompose(scratch.Text, scratch.StartSpare(), compatible);
        scratch.Swap();
        if (!compose) return;
        Compose(scratch.Text, scratch.StartSpare());
        scratch.Swap();
    }

    private static void Decompose(TextBuffer text, TextBuffer output, bool compatible)
    {
        var marks = 0; // start of the current run of code points with a combining class
        var unordered = false;
        var lastClass = 0;
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            var (from, to) = (text.From(i), text.To(i));
            i += length;
            if (rune < 0xA0)
            {
                Put(rune);
            }
            else if ((uint)(rune - UnicodeData.HangulFirst) < UnicodeData.HangulCount)
            {
                var syllable = rune - UnicodeData.HangulFirst;
                Put(0x1100 + syllable / 588);
                Put(0x1161 + syllable % 588 / 28);
                if (syllable % 28 != 0) Put(0x11A7 + syllable % 28);
            }
            else
            {
                var parts = UnicodeData.Decomposition(rune, compatible);
                if (parts.IsEmpty) Put(rune);
                foreach (var part in parts) Put((int)part);
            }

            void Put(int codePoint)
            {
                var combining = codePoint < 0x300 ? 0 : UnicodeData.CombiningClass(codePoint);
                if (combining == 0)
                {
                    if (unordered) Order(output, marks);
                    unordered = false;
                    output.AppendRune(codePoint, from, to);
                    marks = output.Length;
                }
                else
                {
                    unordered |= output.Length > marks && combining < lastClass;
                    output.AppendRune(codePoint, from, to);
                }

                lastClass = combining;
            }
        }

        if (unordered) Order(output, marks);
    }

    /// <summary>Sorts the marks at the end by class; marks of one class keep their order.</summary>
    private static void Order(TextBuffer output, int start)
    {
        var marks = new List<(int Rune, int From, int To)>();
        for (var i = start; i < output.Length;)
        {
            var rune = output.RuneAt(i, out var length);
            marks.Add((rune, output.From(i), output.To(i)));
            i += length;
        }

        output.Truncate(start);
        foreach (var (rune, from, to) in marks.OrderBy(mark => UnicodeData.CombiningClass(mark.Rune))) output.AppendRune(rune, from, to);
    }

    private static void Compose(TextBuffer text, TextBuffer output)
    {
        var starter = -1;
        var starterAt = 0;
        var lastClass = 0;
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            var combining = rune < 0x300 ? 0 : UnicodeData.CombiningClass(rune);
            if (starter >= 0 && rune >= 0x300 && (lastClass == 0 || lastClass < combining) && UnicodeData.Compose(starter, rune) is var composed and >= 0)
            {
                starter = composed;
                output.ReplaceRune(starterAt, composed);
            }
            else
            {
                if (combining == 0) (starter, starterAt) = (rune, output.Length);
                lastClass = combining;
                output.AppendRune(rune, text.From(i), text.To(i));
            }

            i += length;
        }
    }
}
