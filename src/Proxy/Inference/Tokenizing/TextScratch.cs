namespace Proxy.Inference.Tokenizing;

/// <summary>The buffers of one encoding; one set per thread, kept between calls unless a text was very long.</summary>
internal sealed class TextScratch
{
    private const int KeptChars = 1 << 17;

    [ThreadStatic]
    private static TextScratch? idle;

    private TextBuffer spare = new();
    private PieceList sparePieces = new();
    private int[] numbers = [];
    private double[] scores = [];
    private char[] shadow = [];
    private BpeModel.Symbol[] symbols = [];

    /// <summary>The text after the stages so far.</summary>
    public TextBuffer Text { get; private set; } = new();

    /// <summary>The pieces of <see cref="Text"/> that the model gets one by one.</summary>
    public PieceList Pieces { get; private set; } = new();

    public TokenRun First { get; } = new();

    public TokenRun Second { get; } = new();

    /// <summary>Returns buffers that the caller must return; a nested call on the same thread gets others.</summary>
    public static TextScratch Rent()
    {
        var scratch = idle ?? new TextScratch();
        idle = null;
        return scratch;
    }

    public void Return()
    {
        if (Text.Capacity <= KeptChars && spare.Capacity <= KeptChars && numbers.Length <= KeptChars * 4 && symbols.Length <= KeptChars * 4) idle = this;
    }

    /// <summary>The other buffer, emptied, for the next stage's text.</summary>
    public TextBuffer StartSpare()
    {
        spare.Clear(Text.Tracking);
        return spare;
    }

    public void Swap() => (Text, spare) = (spare, Text);

    public PieceList StartSparePieces()
    {
        sparePieces.Clear();
        return sparePieces;
    }

    public void SwapPieces() => (Pieces, sparePieces) = (sparePieces, Pieces);

    /// <summary>A work buffer of at least this length with undefined content. The next three are alike.</summary>
    public int[] NumbersOf(int count) => numbers.Length >= count ? numbers : numbers = new int[Math.Max(count, numbers.Length * 2)];

    public double[] ScoresOf(int count) => scores.Length >= count ? scores : scores = new double[Math.Max(count, scores.Length * 2)];

    public BpeModel.Symbol[] SymbolsOf(int count) => symbols.Length >= count ? symbols : symbols = new BpeModel.Symbol[Math.Max(count, symbols.Length * 2)];

    public char[] ShadowOf(int count) => shadow.Length >= count ? shadow : shadow = new char[Math.Max(count, shadow.Length * 2)];
}
