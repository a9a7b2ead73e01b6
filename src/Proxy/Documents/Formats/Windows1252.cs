using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Windows' encoding of Western European languages, for reading only. The five bytes without a meaning become U+FFFD.</summary>
internal sealed class Windows1252 : Encoding
{
    /// <summary>The characters of the bytes 80 to 9F; the others are the same as in Latin-1.</summary>
    private const string High = "€\uFFFD‚ƒ„…†‡ˆ‰Š‹Œ\uFFFDŽ\uFFFD\uFFFD‘’“”•–—˜™š›œ\uFFFDžŸ";

    public static readonly Windows1252 Instance = new();

    private Windows1252()
    {
    }

    public override int GetByteCount(char[] chars, int index, int count) => count;

    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) => throw new NotSupportedException();

    public override int GetCharCount(byte[] bytes, int index, int count) => count;

    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex)
    {
        for (var i = 0; i < byteCount; i++)
        {
            var one = bytes[byteIndex + i];
            chars[charIndex + i] = one is >= 0x80 and < 0xA0 ? High[one - 0x80] : (char)one;
        }

        return byteCount;
    }

    public override int GetMaxByteCount(int charCount) => charCount;

    public override int GetMaxCharCount(int byteCount) => byteCount;
}

/// <summary>Has <see cref="Encoding.GetEncoding(string)"/> find <see cref="Windows1252"/>, which PdfPig asks for by its name.</summary>
internal sealed class Windows1252Provider : EncodingProvider
{
    private static readonly Windows1252Provider Instance = new();

    private Windows1252Provider()
    {
    }

    /// <summary>Registering it again has no effect.</summary>
    public static void Register() => Encoding.RegisterProvider(Instance);

    public override Encoding? GetEncoding(int codepage) => codepage == 1252 ? Windows1252.Instance : null;

    public override Encoding? GetEncoding(string name) =>
        name.Equals("windows-1252", StringComparison.OrdinalIgnoreCase) ? Windows1252.Instance : null;
}
