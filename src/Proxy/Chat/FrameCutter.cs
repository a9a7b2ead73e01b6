using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// Cuts a byte stream into frames. A frame is one SSE event (its lines and the blank line after them) or one line of JSON. The only bytes that a cutter
/// stores are the joined <c>data</c> lines of an event that has several, so each stream needs its own cutter. Grammar: WHATWG HTML, "Server-sent events";
/// lines end in LF or CRLF.
/// </summary>
internal class FrameCutter(StreamFraming framing) : IDisposable
{
    private PooledBody? joined;

    /// <summary>
    /// The last frame reports a failure of the host in a form that some clients of its dialect do not recognise. Its payload is in the form that all of them
    /// recognise.
    /// </summary>
    public bool IsHiddenError { get; private set; }

    public static FrameCutter For(StreamFraming framing) => new(framing);

    /// <summary>
    /// Takes the next whole frame off the front of <paramref name="pending"/>; false when more bytes are needed. <paramref name="frame"/> is all its bytes;
    /// <paramref name="payload"/> is what it carries, empty for a comment.
    /// </summary>
    public bool TryTake(scoped ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        var end = framing is StreamFraming.JsonLines ? pending.IndexOf((byte)'\n') + 1 : EndOfEvent(pending);
        if (end <= 0)
        {
            frame = payload = default;
            return false;
        }

        frame = pending[..end];
        payload = PayloadOfRest(frame);
        pending = pending[end..];
        return true;
    }

    /// <summary>Whether a frame may end in the bytes after the first <paramref name="before"/>, in which no frame ends.</summary>
    public bool MayEnd(ReadOnlySpan<byte> bytes, int before)
    {
        if (framing is StreamFraming.JsonLines) return bytes[before..].Contains((byte)'\n');
        // The blank line's first line end, with its CR, may be among the bytes before.
        var last = bytes[Math.Max(before - 2, 0)..];
        return last.IndexOf("\n\n"u8) >= 0 || last.IndexOf("\n\r\n"u8) >= 0;
    }

    /// <summary>The payload of the last frame, when the stream ended without that frame's terminator.</summary>
    public ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest) => framing is StreamFraming.JsonLines ? rest.Trim(" \t\r\n"u8) : Data(rest);

    public virtual void Dispose() => joined?.Dispose();

    /// <summary>Just past the blank line, or -1.</summary>
    private static int EndOfEvent(ReadOnlySpan<byte> bytes)
    {
        var at = 0;
        while (bytes[at..].IndexOf((byte)'\n') is var lineEnd and >= 0)
        {
            var length = lineEnd > 0 && bytes[at + lineEnd - 1] == '\r' ? lineEnd - 1 : lineEnd;
            at += lineEnd + 1;
            if (length == 0) return at;
        }

        return -1;
    }

    private ReadOnlySpan<byte> Data(ReadOnlySpan<byte> lines)
    {
        ReadOnlySpan<byte> first = default;
        var found = 0;
        var failed = false;
        while (!lines.IsEmpty)
        {
            var end = lines.IndexOf((byte)'\n');
            var line = (end < 0 ? lines : lines[..end]).TrimEnd((byte)'\r');
            lines = end < 0 ? default : lines[(end + 1)..];
            if (!line.StartsWith("data"u8))
            {
                if (line is not [(byte)'e', ..]) continue;
                if (line.SequenceEqual("event: error"u8) || line.SequenceEqual("event:error"u8)) failed = true;
                if (!line.StartsWith("error:"u8)) continue; // llama.cpp's own field, in the place of data
                failed = true;
                line = line[1..]; // as long as "data:"
            }

            if (line.Length > 4 && line[4] != ':') continue;

            var value = line.Length > 5 ? line[(line[5] == ' ' ? 6 : 5)..] : default;
            if (found++ == 0)
            {
                first = value;
                continue;
            }

            joined ??= new PooledBody(first.Length + value.Length + 1);
            if (found == 2)
            {
                joined.Clear();
                joined.Write(first);
            }

            joined.Write("\n"u8);
            joined.Write(value);
        }

        var payload = found > 1 ? joined!.Span : first;
        IsHiddenError = failed && !payload.IsEmpty && !StreamError.IsOne(payload);
        return IsHiddenError ? StreamError.Wrap(payload, joined ??= new PooledBody(payload.Length + 16)) : payload;
    }
}
