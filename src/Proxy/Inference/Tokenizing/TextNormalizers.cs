namespace Proxy.Inference.Tokenizing;

/// <summary>Replaces every match of a pattern.</summary>
internal sealed class ReplaceNormalizer(SplitPattern pattern, string content) : Normalizer
{
    public override void Apply(TextScratch scratch)
    {
        var text = scratch.Text;
        var parts = scratch.StartSparePieces();
        var cutter = new PieceCutter(parts, SplitBehavior.Removed, invert: true, 0, text.Length);
        pattern.Find(scratch, 0, text.Length, ref cutter);
        cutter.Finish();
        if (parts.Count == 0) return;

        var output = scratch.StartSpare();
        var done = 0;
        foreach (var match in parts.Items)
        {
            output.Append(text, done, match.Start - done);
            foreach (var c in content) output.Append(c, text.From(match.End - 1), text.To(match.End - 1));
            done = match.End;
        }

        output.Append(text, done, text.Length - done);
        scratch.Swap();
    }
}

/// <summary>Adds a prefix to a text that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override void Apply(TextScratch scratch)
    {
        var text = scratch.Text;
        if (text.Length == 0) return;
        var output = scratch.StartSpare();
        foreach (var c in prefix) output.Append(c, text.From(0), text.To(0));
        output.Append(text, 0, text.Length);
        scratch.Swap();
    }
}

/// <summary>Removes white space at the ends.</summary>
internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override void Apply(TextScratch scratch)
    {
        var text = scratch.Text;
        var end = right ? text.Chars.TrimEnd().Length : text.Length;
        var start = left ? end - text.Chars[..end].TrimStart().Length : 0;
        if (start == 0)
        {
            text.Truncate(end);
            return;
        }

        scratch.StartSpare().Append(text, start, end - start);
        scratch.Swap();
    }
}

/// <summary>The normalisation of Google's translation models: removes control characters, unifies unusual spaces.</summary>
internal sealed class NmtNormalizer : Normalizer
{
    public override void Apply(TextScratch scratch)
    {
        Remove(scratch, static rune => rune is >= 0x01 and <= 0x08 or 0x0B or >= 0x0E and <= 0x1F or 0x7F or 0x8F or 0x9F);
        foreach (ref var c in scratch.Text.Writable)
        {
            if (c is '\t' or '\n' or '\f' or '\r' or '\u1680' or >= '\u200B' and <= '\u200F' or '\u2028' or '\u2029' or '\u2581' or '\uFEFF' or '\uFFFD')
            {
                c = ' ';
            }
        }
    }
}

/// <summary>Replaces every byte of the text by its letter of <see cref="Alphabet"/>.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    public override void Apply(TextScratch scratch)
    {
        var text = scratch.Text;
        var output = scratch.StartSpare();
        for (var i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i, out var length);
            Alphabet.Append(output, rune, text.From(i), text.To(i));
            i += length;
        }

        scratch.Swap();
    }
}
