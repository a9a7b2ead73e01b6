namespace Proxy.Inference.Tokenizing;

/// <summary>Rewrites a text before it is split. Immutable and thread-safe.</summary>
internal abstract class Normalizer
{
    /// <summary>Rewrites <c>scratch.Text</c>, in place or through the spare buffer.</summary>
    public abstract void Apply(TextScratch scratch);

    internal sealed class Sequence(Normalizer[] steps) : Normalizer
    {
        public override void Apply(TextScratch scratch)
        {
            foreach (var step in steps) step.Apply(scratch);
        }
    }

    /// <summary>NFC, NFD, NFKC or NFKD.</summary>
    internal sealed class Form(bool compatible, bool compose) : Normalizer
    {
        public override void Apply(TextScratch scratch) => NormalForms.Apply(scratch, compatible, compose);
    }

    internal sealed class Lowercase : Normalizer
    {
        public override void Apply(TextScratch scratch) => Lower(scratch);
    }

    /// <summary>Removes marks of every kind.</summary>
    internal sealed class StripAccents : Normalizer
    {
        public override void Apply(TextScratch scratch) => Remove(scratch, UnicodeData.IsMark);
    }

    /// <summary>Lower-cases each code point separately: a final sigma gets no special form, and U+0130 becomes two code points.</summary>
    private protected static void Lower(TextScratch scratch)
    {
        var text = scratch.Text;
        if (!text.Chars.ContainsAnyExceptInRange('\0', '\u007F'))
        {
            foreach (ref var c in text.Writable)
            {
                if (char.IsAsciiLetterUpper(c)) c |= ' ';
            }

            return;
        }

        var output = scratch.StartSpare();
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            if (rune == 0x130)
            {
                output.Append('i', text.From(i), text.To(i));
                output.Append('\u0307', text.From(i), text.To(i));
            }
            else
            {
                output.AppendRune(UnicodeData.ToLower(rune), text.From(i), text.To(i));
            }

            i += length;
        }

        scratch.Swap();
    }

    private protected static void Remove(TextScratch scratch, Func<int, bool> unwanted)
    {
        var text = scratch.Text;
        var kept = 0;
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            if (!unwanted(rune))
            {
                for (var k = 0; k < length; k++) text.Move(i + k, kept++, text.Chars[i + k]);
            }

            i += length;
        }

        text.Truncate(kept);
    }
}
