namespace Proxy.Inference.Tokenizing;

/// <summary>What one encoding needs while it runs; one a thread, kept between calls unless a text was very long.</summary>
internal sealed class TextScratch
{
    private const int KeptChars = 1 << 17;

    [ThreadStatic]
    private static TextScratch? idle;

    private TextBuffer spare = new();

    /// <summary>The text as the stages so far left it.</summary>
    public TextBuffer Text { get; private set; } = new();

    /// <summary>The pieces of <see cref="Text"/> that the model gets, one by one.</summary>
    public PieceList Pieces { get; private set; } = new();

    private PieceList sparePieces = new();

    public TokenRun First { get; } = new();

    public TokenRun Second { get; } = new();

    /// <summary>Room for a model's own work.</summary>
    public int[] Numbers { get; private set; } = [];

    public double[] Scores { get; private set; } = [];

    public char[] Shadow { get; private set; } = [];

    public static TextScratch Rent()
    {
        var scratch = idle ?? new TextScratch();
        idle = null;
        return scratch;
    }

    public void Return()
    {
        if (Text.Capacity <= KeptChars && spare.Capacity <= KeptChars && Numbers.Length <= KeptChars * 4) idle = this;
    }

    /// <summary>The other buffer, empty, to write the next stage's text into.</summary>
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

    public int[] NumbersOf(int count) => Numbers.Length >= count ? Numbers : Numbers = new int[Math.Max(count, Numbers.Length * 2)];

    public double[] ScoresOf(int count) => Scores.Length >= count ? Scores : Scores = new double[Math.Max(count, Scores.Length * 2)];

    public char[] ShadowOf(int count) => Shadow.Length >= count ? Shadow : Shadow = new char[Math.Max(count, Shadow.Length * 2)];
}
