namespace Proxy.Inference.Tokenizing;

/// <summary>Splits a text into the pieces that the model gets. Immutable and thread-safe.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Splits every text piece of <c>scratch.Pieces</c> further; added tokens are kept.</summary>
    /// <param name="first">Whether the first piece is at the start of the whole input.</param>
    public virtual void Split(TextScratch scratch, bool first)
    {
        var output = scratch.StartSparePieces();
        foreach (var piece in scratch.Pieces.Items)
        {
            if (piece.Token == PieceList.Text) Split(scratch, piece.Start, piece.End, output);
            else output.Add(piece.Start, piece.End, piece.Token);
        }

        scratch.SwapPieces();
    }

    /// <summary>Appends the parts of <c>scratch.Text[start..end]</c>.</summary>
    protected abstract void Split(TextScratch scratch, int start, int end, PieceList output);

    internal sealed class Sequence(PreTokenizer[] steps) : PreTokenizer
    {
        public override void Split(TextScratch scratch, bool first)
        {
            foreach (var step in steps) step.Split(scratch, first);
        }

        protected override void Split(TextScratch scratch, int start, int end, PieceList output) => output.Add(start, end);
    }

    /// <summary>Splits at white space, which is removed, and around every punctuation character.</summary>
    internal sealed class Bert : PreTokenizer
    {
        private enum Class : byte { Letter, Space, Sign }

        private static readonly Class[] Ascii = [.. Enumerable.Range(0, 128).Select(Of)];

        protected override void Split(TextScratch scratch, int start, int end, PieceList output)
        {
            var text = scratch.Text;
            var chars = text.Chars;
            var word = start;
            for (var i = start; i < end;)
            {
                var length = 1;
                var kind = chars[i] < 128 ? Ascii[chars[i]] : Of(text.RuneAt(i, out length));
                if (kind != Class.Letter)
                {
                    output.Add(word, i);
                    if (kind == Class.Sign) output.Add(i, i + length);
                    word = i + length;
                }

                i += length;
            }

            output.Add(word, end);
        }

        private static Class Of(int rune) => UnicodeData.IsWhiteSpace(rune) ? Class.Space : UnicodeData.IsPunctuation(rune) ? Class.Sign : Class.Letter;
    }
}
