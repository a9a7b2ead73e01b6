using System.Text;

namespace Proxy.Documents.Formats;

/// <summary>Reads the lines of a text; a line that is too long comes in several parts.</summary>
/// <param name="text">The text.</param>
/// <param name="limit">The characters after which a line is cut.</param>
internal sealed class LineReader(TextReader text, int limit = DocumentLimits.BlockLength)
{
    private readonly char[] buffer = new char[16 << 10];
    private readonly StringBuilder line = new();
    private int at, end;
    private bool afterReturn;

    /// <summary>The next line without its end; null at the end of the text.</summary>
    public string? Next()
    {
        line.Clear();
        while (true)
        {
            if (at == end)
            {
                (at, end) = (0, text.Read(buffer, 0, buffer.Length));
                if (end <= 0)
                {
                    end = 0;
                    return line.Length > 0 ? line.ToString() : null;
                }
            }

            if (afterReturn && buffer[at] == '\n') at++;
            afterReturn = false;
            if (at == end) continue;
            var rest = buffer.AsSpan(at, end - at);
            var stop = rest.IndexOfAny('\n', '\r');
            var take = Math.Min(stop < 0 ? rest.Length : stop, limit - line.Length);
            line.Append(rest[..take]);
            at += take;
            if (take == stop)
            {
                afterReturn = buffer[at++] == '\r';
                return line.ToString();
            }

            if (line.Length >= limit) return Cut();
        }
    }

    /// <summary>Ends an over-long line at its last white space, if that is near.</summary>
    private string Cut()
    {
        var whole = line.ToString();
        var half = whole.Length / 2;
        var cut = whole.AsSpan(half).LastIndexOfAny(' ', '\t');
        // What follows the cut is read again, if it is still in the buffer.
        var back = cut >= 0 ? whole.Length - (half + cut + 1) : char.IsHighSurrogate(whole[^1]) ? 1 : 0;
        if (back == 0 || back > at) return whole;
        at -= back;
        return whole[..^back];
    }
}
