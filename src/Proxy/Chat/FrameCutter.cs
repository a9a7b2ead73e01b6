using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// Cuts a byte stream into frames: one SSE event (its lines and the blank line after them), or one line of JSON. Stateless except for the buffer that joins an
/// event's several <c>data</c> lines, so each stream needs its own cutter. Grammar: WHATWG HTML, "Server-sent events"; lines end in LF or CRLF.
/// </summary>
internal abstract class FrameCutter : IDisposable
{
    public static FrameCutter For(StreamFraming framing) => framing is StreamFraming.ServerSentEvents ? new SseCutter() : new JsonLineCutter();

    /// <summary>
    /// Takes the next complete frame from the front of <paramref name="pending"/>. False if more bytes are needed. <paramref name="frame"/> is all its bytes,
    /// <paramref name="payload"/> its content; the payload of a comment is empty.
    /// </summary>
    public abstract bool TryTake(ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload);

    /// <summary>True if a frame may end in the bytes after the first <paramref name="before"/>, which are known to contain no frame's end.</summary>
    public abstract bool MayEnd(ReadOnlySpan<byte> bytes, int before);

    /// <summary>The payload of the remaining bytes, if the stream ended without the last frame's terminator.</summary>
    public abstract ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest);

    /// <summary>
    /// True if the last frame reports an error in a form that some clients of its dialect do not recognise. Its payload is then in the form that they do.
    /// </summary>
    public virtual bool IsHiddenError => false;

    public virtual void Dispose() { }

    private sealed class JsonLineCutter : FrameCutter
    {
        public override bool TryTake(ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
        {
            var end = pending.IndexOf((byte)'\n');
            if (end < 0)
            {
                frame = payload = default;
                return false;
            }

            frame = pending[..(end + 1)];
            payload = pending[..end].Trim(" \t\r"u8);
            pending = pending[(end + 1)..];
            return true;
        }

        public override bool MayEnd(ReadOnlySpan<byte> bytes, int before) => bytes[before..].Contains((byte)'\n');

        public override ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest) => rest.Trim(" \t\r\n"u8);
    }

    private sealed class SseCutter : FrameCutter
    {
        private PooledBody? joined;
        private bool failed;

        public override bool TryTake(ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
        {
            var end = EndOfEvent(pending);
            if (end < 0)
            {
                frame = payload = default;
                return false;
            }

            frame = pending[..end];
            payload = Data(frame);
            pending = pending[end..];
            return true;
        }

        // The first newline of the blank line, and its CR, may be among the earlier bytes.
        public override bool MayEnd(ReadOnlySpan<byte> bytes, int before) =>
            bytes[Math.Max(before - 2, 0)..] is var last && (last.IndexOf("\n\n"u8) >= 0 || last.IndexOf("\n\r\n"u8) >= 0);

        public override ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest) => Data(rest);

        public override bool IsHiddenError => failed;

        public override void Dispose()
        {
            joined?.Dispose();
            base.Dispose();
        }

        /// <summary>The position just after the blank line, or -1.</summary>
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
            failed = false;
            while (!lines.IsEmpty)
            {
                var end = lines.IndexOf((byte)'\n');
                var line = (end < 0 ? lines : lines[..end]).TrimEnd((byte)'\r');
                lines = end < 0 ? default : lines[(end + 1)..];
                if (!line.StartsWith("data"u8))
                {
                    if (line is not [(byte)'e', ..]) continue;
                    if (line.SequenceEqual("event: error"u8) || line.SequenceEqual("event:error"u8)) failed = true;
                    if (!line.StartsWith("error:"u8)) continue; // llama.cpp's own field, used instead of "data"
                    failed = true;
                    line = line[1..]; // now the field name is as long as "data"
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
            failed = failed && !payload.IsEmpty && !StreamError.IsOne(payload);
            return failed ? StreamError.Wrap(payload, joined ??= new PooledBody(payload.Length + 16)) : payload;
        }
    }
}
