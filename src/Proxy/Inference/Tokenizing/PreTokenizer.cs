namespace Proxy.Inference.Tokenizing;

/// <summary>Cuts a text into the pieces that the model gets. Immutable; for any number of threads.</summary>
internal abstract class PreTokenizer
{
    /// <summary>Cuts every text piece of <c>scratch.Pieces</c> again; added tokens stay as they are.</summary>
    /// <param name="first">Whether the first piece begins where the whole input does.</param>
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

    /// <summary>At white space, which goes, and around every punctuation sign.</summary>
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
