using System.Buffers;
using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>A text file whose encoding was found.</summary>
/// <param name="Reader">At its beginning.</param>
/// <param name="Start">Its first characters.</param>
/// <param name="Bytes">Its size.</param>
internal sealed record TextFile(TextReader Reader, string Start, long Bytes)
{
    /// <summary>Characters that <see cref="Start"/> has at most.</summary>
    private const int StartLength = 512;

    /// <summary>The bytes in which a single zero byte means that the file is binary, as Git decides it.</summary>
    private const int ZeroFree = 8000;

    /// <summary>Byte order marks. UTF-32 in little order begins like UTF-16.</summary>
    private static readonly byte[] Utf16Little = [0xFF, 0xFE], Utf16Big = [0xFE, 0xFF], Utf32Big = [0, 0, 0xFE, 0xFF];

    /// <summary>
    /// Opens a file as UTF-8, as UTF-16 or UTF-32 with a byte order mark, or else as Windows-1252. Null if it is not text: it has zero bytes at its beginning,
    /// or more than 0.5 % control characters.
    /// </summary>
    public static TextFile? Open(GuardedStream file, ReadGuard guard)
    {
        Span<byte> mark = stackalloc byte[4];
        mark = mark[..file.ReadAtLeast(mark, 4, throwOnEndOfStream: false)];
        file.Position = 0;
        var encoding = Marked(mark);
        if (encoding is null)
        {
            var census = new ByteCensus();
            var buffer = ArrayPool<byte>.Shared.Rent(64 << 10);
            for (int n; (n = file.Read(buffer)) > 0;) census.Add(buffer.AsSpan(0, n));
            ArrayPool<byte>.Shared.Return(buffer);
            encoding = census.Encoding;
            file.Position = 0;
            if (encoding is null) return null;
        }

        var start = Begin();
        return start.AsSpan().Count('\0') + start.AsSpan().Count('\uFFFD') > start.Length / 20 ? null : new(NewReader(), start, file.Length);

        StreamReader NewReader() => new(file, encoding, detectEncodingFromByteOrderMarks: true, bufferSize: 64 << 10, leaveOpen: true);

        string Begin()
        {
            using var reader = NewReader();
            var chars = new char[StartLength];
            var read = reader.ReadBlock(chars);
            file.Position = 0;
            guard.Step();
            return new(chars, 0, read);
        }
    }

    /// <summary>The whole text.</summary>
    public string ReadAll() => Bytes <= DocumentLimits.WholeFile
        ? Reader.ReadToEnd()
        : throw new DocumentException(
            DocumentFault.Invalid, $"the file is larger than {DocumentLimits.WholeFile >> 20} MB, which is the limit for this format; split it");

    private static Encoding? Marked(ReadOnlySpan<byte> start) =>
        start.StartsWith(Utf16Little) || start.StartsWith(Utf16Big) || start.StartsWith(Utf32Big) ? Encoding.UTF8 : null;

    /// <summary>Counts what the bytes of a file can be.</summary>
    private sealed class ByteCensus
    {
        /// <summary>Western European text has fewer bytes above 7F; text of other scripts in its legacy encoding has more.</summary>
        private const double ForeignShare = .3;

        private long size, zeros, earlyZeros, controls, sequences, strays;
        private int owed;

        /// <summary>The encoding; null if the file is not text.</summary>
        public Encoding? Encoding
        {
            get
            {
                if (earlyZeros > 0 || (zeros + controls) * 200 > size) return null;
                if (strays == 0 || sequences > 4 * strays) return Encoding.UTF8;
                return strays > size * ForeignShare ? null : Windows1252.Instance;
            }
        }

        public void Add(ReadOnlySpan<byte> bytes)
        {
            while (bytes.Length > 0)
            {
                // Most bytes of most files.
                var plain = bytes.IndexOfAnyExceptInRange((byte)' ', (byte)'~');
                if (plain < 0) plain = bytes.Length;
                if (plain > 0) EndSequence();
                size += plain;
                if (plain == bytes.Length) return;
                Add(bytes[plain]);
                bytes = bytes[(plain + 1)..];
            }
        }

        private void Add(byte one)
        {
            size++;
            if (one is >= 0x80 and < 0xC0)
            {
                if (owed == 0) strays++;
                else if (--owed == 0) sequences++;
                return;
            }

            EndSequence();
            if (one is >= 0xC2 and < 0xF5) owed = one < 0xE0 ? 1 : one < 0xF0 ? 2 : 3;
            else if (one >= 0x80) strays++;
            else if (one == 0) CountZero();
            else if (one is (< (byte)' ' or 0x7F) and not ((byte)'\t' or (byte)'\n' or (byte)'\r' or (byte)'\f' or 0x1B or 0x08)) controls++;
        }

        private void CountZero()
        {
            zeros++;
            if (size <= ZeroFree) earlyZeros++;
        }

        private void EndSequence()
        {
            if (owed > 0) strays++;
            owed = 0;
        }
    }
}
