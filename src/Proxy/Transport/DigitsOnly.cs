using System.Text;

namespace Proxy.Transport;

/// <summary>
/// The encoding with which Kestrel decodes a Content-Length. Kestrel accepts a sign before the number (<c>+63</c>), and an encoding is the only hook
/// that it offers. This one turns every byte that is not a digit into a letter, so Kestrel rejects the value.
/// </summary>
internal sealed class DigitsOnly : Encoding
{
    public static readonly DigitsOnly Instance = new();

    private DigitsOnly()
    {
    }

    public override int GetByteCount(char[] chars, int index, int count) => count;

    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) => throw new NotSupportedException();

    public override int GetCharCount(byte[] bytes, int index, int count) => count;

    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex)
    {
        for (var i = 0; i < byteCount; i++) chars[charIndex + i] = char.IsAsciiDigit((char)bytes[byteIndex + i]) ? (char)bytes[byteIndex + i] : 'x';
        return byteCount;
    }

    public override int GetMaxByteCount(int charCount) => charCount;

    public override int GetMaxCharCount(int byteCount) => byteCount;
}
