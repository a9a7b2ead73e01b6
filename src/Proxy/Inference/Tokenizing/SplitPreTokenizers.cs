namespace Proxy.Inference.Tokenizing;

/// <summary>Splits at the matches of a pattern.</summary>
internal sealed class SplitPreTokenizer(SplitPattern pattern, SplitBehavior behavior, bool invert) : PreTokenizer
{
    protected override void Split(TextScratch scratch, int start, int end, PieceList output)
    {
        var cutter = new PieceCutter(output, behavior, invert, start, end);
        pattern.Find(scratch, start, end, ref cutter);
        cutter.Finish();
    }
}

/// <summary>Splits into words and runs of other characters, without white space.</summary>
internal sealed class WhitespacePreTokenizer : PreTokenizer
{
    private enum Kind { Space, Word, Other }

    protected override void Split(TextScratch scratch, int start, int end, PieceList output)
    {
        var (from, kind) = (start, Kind.Space);
        for (var i = start; i < end;)
        {
            var rune = scratch.Text.RuneAt(i, out var length);
            var next = UnicodeData.IsWhiteSpace(rune) ? Kind.Space : UnicodeData.IsWord(rune) ? Kind.Word : Kind.Other;
            if (next != kind)
            {
                if (kind != Kind.Space) output.Add(from, i);
                (from, kind) = (i, next);
            }

            i += length;
        }

        if (kind != Kind.Space) output.Add(from, end);
    }
}

/// <summary>Splits into pieces of a fixed number of code points.</summary>
internal sealed class FixedLengthPreTokenizer(int length) : PreTokenizer
{
    protected override void Split(TextScratch scratch, int start, int end, PieceList output)
    {
        var (from, count) = (start, 0);
        for (var i = start; i < end;)
        {
            scratch.Text.RuneAt(i, out var units);
            i += units;
            if (++count < length) continue;
            output.Add(from, i);
            (from, count) = (i, 0);
        }

        output.Add(from, end);
    }
}

/// <summary>GPT-2's: optionally splits by its expression, then replaces every byte by its letter of <see cref="Alphabet"/>.</summary>
internal sealed class ByteLevelPreTokenizer(bool prefixSpace, bool useExpression) : PreTokenizer
{
    public override void Split(TextScratch scratch, bool first)
    {
        if (prefixSpace) AddSpaces(scratch);
        if (useExpression) base.Split(scratch, first);

        var text = scratch.Text;
        var output = scratch.StartSpare();
        var pieces = scratch.StartSparePieces();
        foreach (var piece in scratch.Pieces.Items)
        {
            var start = output.Length;
            for (var i = piece.Start; i < piece.End;)
            {
                var rune = text.RuneAt(i, out var length);
                Alphabet.Append(output, rune, text.From(i), text.To(i));
                i += length;
            }

            pieces.Add(start, output.Length, piece.Token);
        }

        scratch.Swap();
        scratch.SwapPieces();
    }

    protected override void Split(TextScratch scratch, int start, int end, PieceList output)
    {
        var cutter = new PieceCutter(output, SplitBehavior.Isolated, invert: false, start, end);
        WordPattern.OfGpt2.Find(scratch, start, end, ref cutter);
        cutter.Finish();
    }

    private static void AddSpaces(TextScratch scratch)
    {
        var text = scratch.Text;
        var output = scratch.StartSpare();
        var pieces = scratch.StartSparePieces();
        foreach (var piece in scratch.Pieces.Items)
        {
            var start = output.Length;
            if (piece.Token == PieceList.Text && text.Chars[piece.Start] != ' ') output.Append(' ', text.From(piece.Start), text.To(piece.Start));
            output.Append(text, piece.Start, piece.End - piece.Start);
            pieces.Add(start, output.Length, piece.Token);
        }

        scratch.Swap();
        scratch.SwapPieces();
    }
}

internal enum PrependScheme { Always, First, Never }

/// <summary>SentencePiece's: replaces spaces by a sign, adds one at the front, and starts a piece at each sign.</summary>
internal sealed class MetaspacePreTokenizer(char sign, PrependScheme scheme, bool split) : PreTokenizer
{
    public override void Split(TextScratch scratch, bool first)
    {
        var text = scratch.Text;
        var output = scratch.StartSpare();
        var pieces = scratch.StartSparePieces();
        foreach (var piece in scratch.Pieces.Items)
        {
            var start = output.Length;
            if (piece.Token != PieceList.Text)
            {
                output.Append(text, piece.Start, piece.End - piece.Start);
                pieces.Add(start, output.Length, piece.Token);
                continue;
            }

            var prepend = scheme == PrependScheme.Always || scheme == PrependScheme.First && first && piece.Start == 0;
            if (prepend && text.Chars[piece.Start] != sign && text.Chars[piece.Start] != ' ') output.Append(sign, text.From(piece.Start), text.To(piece.Start));
            for (var i = piece.Start; i < piece.End; i++)
            {
                var c = text.Chars[i];
                if (c == ' ') c = sign;
                if (split && c == sign && output.Length > start)
                {
                    pieces.Add(start, output.Length);
                    start = output.Length;
                }

                output.Append(c, text.From(i), text.To(i));
            }

            pieces.Add(start, output.Length);
        }

        scratch.Swap();
        scratch.SwapPieces();
    }

    protected override void Split(TextScratch scratch, int start, int end, PieceList output) => output.Add(start, end);
}
