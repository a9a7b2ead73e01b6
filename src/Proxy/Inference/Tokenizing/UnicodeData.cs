using System.Globalization;
using System.Text;

namespace Proxy.Inference.Tokenizing;

/// <summary>The properties of code points that a tokenizer needs. Read once from <see cref="UnicodeTables"/> into two-stage tables.</summary>
internal static class UnicodeData
{
    [Flags]
    private enum Kind : byte { None = 0, Mark = 1, NonspacingMark8 = 2, Punctuation8 = 4, Other8 = 8 }

    private static readonly TwoStage<Kind> Kinds = ReadKinds();
    private static readonly TwoStage<byte> Classes = ReadClasses();
    private static readonly TwoStage<ushort> Canonical = ReadDecompositions(compatible: false);
    private static readonly TwoStage<ushort> Compatible = ReadDecompositions(compatible: true);
    private static readonly Dictionary<ulong, int> Compositions = ReadCompositions();

    /// <summary>The first Hangul syllable; Hangul syllables decompose by arithmetic.</summary>
    public const int HangulFirst = 0xAC00;
    public const int HangulCount = 11172;

    public static bool IsMark(int codePoint) => (Kinds[codePoint] & Kind.Mark) != 0;

    /// <summary>Nonspacing marks of Unicode 8.0.</summary>
    public static bool IsNonspacingMark(int codePoint) => (Kinds[codePoint] & Kind.NonspacingMark8) != 0;

    /// <summary>Punctuation by BERT's definition, which includes ASCII's symbols.</summary>
    public static bool IsPunctuation(int codePoint) =>
        codePoint < 128 ? (uint)(codePoint - 33) < 94 && !char.IsAsciiLetterOrDigit((char)codePoint) : (Kinds[codePoint] & Kind.Punctuation8) != 0;

    /// <summary>Control, format or private use in Unicode 8.0.</summary>
    public static bool IsOther(int codePoint) => (Kinds[codePoint] & Kind.Other8) != 0;

    public static bool IsWhiteSpace(int codePoint) => codePoint <= 0xFFFF && char.IsWhiteSpace((char)codePoint);

    /// <summary>The reference's meaning of \w: alphabetic, a mark, a decimal digit, a connector or a joiner.</summary>
    public static bool IsWord(int codePoint) => codePoint < 128
        ? char.IsAsciiLetterOrDigit((char)codePoint) || codePoint == '_'
        : CharUnicodeInfo.GetUnicodeCategory(codePoint) switch
        {
            <= UnicodeCategory.LetterNumber => true, // letters, marks, decimal digits, letter numbers
            UnicodeCategory.ConnectorPunctuation => true,
            UnicodeCategory.OtherSymbol =>
                codePoint is >= 0x24B6 and <= 0x24E9 or >= 0x1F130 and <= 0x1F149 or >= 0x1F150 and <= 0x1F169 or >= 0x1F170 and <= 0x1F189,
            _ => codePoint is 0x200C or 0x200D,
        };

    public static bool IsNumeric(int codePoint) => codePoint < 128
        ? char.IsAsciiDigit((char)codePoint)
        : CharUnicodeInfo.GetUnicodeCategory(codePoint) is UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber
            || codePoint is >= 0x11DE0 and <= 0x11DE9 or >= 0x16FF4 and <= 0x16FF6; // added in Unicode 17

    public static int CombiningClass(int codePoint) => Classes[codePoint];

    /// <summary>The full decomposition; empty if the code point does not decompose. Hangul is not included.</summary>
    public static ReadOnlySpan<uint> Decomposition(int codePoint, bool compatible)
    {
        var entry = (compatible ? Compatible : Canonical)[codePoint];
        if (entry == 0) return default;
        var place = UnicodeTables.Decompositions[(entry - 1) * 2 + 1];
        return UnicodeTables.Decomposed.Slice((int)(place >> 8), (int)(place & 0xFF));
    }

    /// <summary>The composition of two code points; -1 if there is none.</summary>
    public static int Compose(int first, int second)
    {
        if ((uint)(first - 0x1100) < 19 && (uint)(second - 0x1161) < 21) return HangulFirst + ((first - 0x1100) * 21 + (second - 0x1161)) * 28;
        if ((uint)(first - HangulFirst) < HangulCount && (first - HangulFirst) % 28 == 0 && (uint)(second - 0x11A8) < 27) return first + (second - 0x11A7);
        return Compositions.GetValueOrDefault(((ulong)first << 32) | (uint)second, -1);
    }

    public static int ToLower(int codePoint) => codePoint switch
    {
        < 128 => (uint)(codePoint - 'A') < 26 ? codePoint | 0x20 : codePoint,
        0x212A => 'k',
        0xA7CE or 0xA7D2 or 0xA7D4 => codePoint + 1, // added in Unicode 17, like the next ones
        >= 0x16EA0 and <= 0x16EB8 => codePoint + 27,
        _ => Rune.ToLowerInvariant(new Rune(codePoint)).Value,
    };

    /// <summary>
    /// A char of the basic plane with the same category as a code point beyond it; for ideographs one that an expression's range is unlikely to name.
    /// </summary>
    public static char StandIn(int codePoint)
    {
        var category = CharUnicodeInfo.GetUnicodeCategory(codePoint);
        if (codePoint >= 0x20000 && category == UnicodeCategory.OtherLetter) return '\u3400';
        return category == UnicodeCategory.OtherSymbol && IsWord(codePoint) ? '\u24B6' : StandIns[(int)category];
    }

    private static readonly char[] StandIns = [.. Enumerable.Range(0, 30).Select(category => (char)Enumerable.Range(0x250, 0xFDAF).FirstOrDefault(
        c => (int)CharUnicodeInfo.GetUnicodeCategory(c) == category, 0x378))];

    private static TwoStage<Kind> ReadKinds()
    {
        var kinds = new TwoStage<Kind>();
        Mark(UnicodeTables.Marks, Kind.Mark);
        Mark(UnicodeTables.NonspacingMarks8, Kind.NonspacingMark8);
        Mark(UnicodeTables.Punctuation8, Kind.Punctuation8);
        Mark(UnicodeTables.Others8, Kind.Other8);
        return kinds;

        void Mark(ReadOnlySpan<uint> ranges, Kind kind)
        {
            for (var i = 0; i < ranges.Length; i += 2)
            {
                for (var c = (int)ranges[i]; c <= (int)ranges[i + 1]; c++) kinds[c] |= kind;
            }
        }
    }

    private static TwoStage<byte> ReadClasses()
    {
        var classes = new TwoStage<byte>();
        var rows = UnicodeTables.CombiningClasses;
        for (var i = 0; i < rows.Length; i += 3)
        {
            for (var c = (int)rows[i]; c <= (int)rows[i + 1]; c++) classes[c] = (byte)rows[i + 2];
        }

        return classes;
    }

    private static TwoStage<ushort> ReadDecompositions(bool compatible)
    {
        var entries = new TwoStage<ushort>();
        var rows = UnicodeTables.Decompositions;
        for (var i = 0; i < rows.Length; i += 2)
        {
            var forK = rows[i] >> 31 != 0;
            if (!forK || compatible) entries[(int)(rows[i] & 0x7FFFFFFF)] = (ushort)(i / 2 + 1); // the row of the K form follows the canonical one
        }

        return entries;
    }

    private static Dictionary<ulong, int> ReadCompositions()
    {
        var rows = UnicodeTables.Compositions;
        var pairs = new Dictionary<ulong, int>(rows.Length / 3);
        for (var i = 0; i < rows.Length; i += 3) pairs.Add(((ulong)rows[i] << 32) | rows[i + 1], (int)rows[i + 2]);
        return pairs;
    }

    /// <summary>A value for every code point in blocks of 256; blocks without values are not allocated.</summary>
    private sealed class TwoStage<T> where T : unmanaged
    {
        private readonly T[]?[] blocks = new T[0x1100][];

        public T this[int codePoint]
        {
            get => blocks[codePoint >> 8] is { } block ? block[codePoint & 0xFF] : default;
            set => (blocks[codePoint >> 8] ??= new T[256])[codePoint & 0xFF] = value;
        }
    }
}
