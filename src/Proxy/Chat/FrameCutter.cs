using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// Cuts a byte stream into frames: one SSE event (its lines and the blank line after them), or one line of JSON. Stateless but for the scratch that joins
/// an event's several <c>data</c> lines, so one cutter a stream. Grammar: WHATWG HTML, "Server-sent events"; lines end in LF or CRLF.
/// </summary>
internal abstract class FrameCutter : IDisposable
{
    public static FrameCutter For(StreamFraming framing) => framing is StreamFraming.ServerSentEvents ? new SseCutter() : new JsonLineCutter();

    /// <summary>
    /// Takes the next whole frame off the front of <paramref name="pending"/>; false when more bytes are needed. <paramref name="frame"/> is all its bytes;
    /// <paramref name="payload"/> what it carries, empty for a comment.
    /// </summary>
    public abstract bool TryTake(ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload);

    /// <summary>Whether a frame may end in what came after the first <paramref name="before"/> bytes, which end none.</summary>
    public abstract bool MayEnd(ReadOnlySpan<byte> bytes, int before);

    /// <summary>What is left when the stream ended without the last frame's terminator.</summary>
    public abstract ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest);

    /// <summary>The frame taken last says that the host failed, but not in a form that every client of its dialect knows as a failure. Its payload is in that form.</summary>
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

        // The blank line's first line end, with its CR, may be among the bytes before.
        public override bool MayEnd(ReadOnlySpan<byte> bytes, int before) => bytes[Math.Max(before - 2, 0)..] is var last && (last.IndexOf("\n\n"u8) >= 0 || last.IndexOf("\n\r\n"u8) >= 0);

        public override ReadOnlySpan<byte> PayloadOfRest(ReadOnlySpan<byte> rest) => Data(rest);

        public override bool IsHiddenError => failed;

        public override void Dispose()
        {
            joined?.Dispose();
            base.Dispose();
        }

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
            failed = failed && !payload.IsEmpty && !StreamError.IsOne(payload);
            return failed ? StreamError.Wrap(payload, joined ??= new PooledBody(payload.Length + 16)) : payload;
        }
    }
}
