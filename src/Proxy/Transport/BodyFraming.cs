namespace Proxy.Transport;

/// <summary>Where a response's body ends (RFC 9112, 6.3), followed piece by piece. A mutable value: keep it in one field.</summary>
internal struct BodyFraming
{
    private const int MaxLineBytes = 64 * 1024;

    private enum Mode : byte { Empty, Length, Chunked, UntilClose }

    private enum Stage : byte { Size, Blank, Extension, SizeLineFeed, Data, DataEnd, DataLineFeed, TrailerStart, Trailer, LastLineFeed }

    private Mode mode;
    private Stage stage;
    private bool digits;
    private int lineBytes;
    private long left;

    public static BodyFraming Empty => new() { mode = Mode.Empty, Done = true };
    public static BodyFraming Chunked => new() { mode = Mode.Chunked };
    public static BodyFraming UntilClose => new() { mode = Mode.UntilClose };
    public static BodyFraming OfLength(long length) => new() { mode = Mode.Length, left = length, Done = length == 0 };

    /// <summary>The body is whole.</summary>
    public bool Done { get; private set; }

    /// <summary>The framing makes no sense, in words; the rest of the connection is unreadable.</summary>
    public string? Fault { get; private set; }

    public readonly bool IsChunked => mode == Mode.Chunked;

    /// <summary>The host closed its side: right for a body without a length, a failure for any other.</summary>
    public void Close()
    {
        if (Done || Fault is not null) return;
        if (mode == Mode.UntilClose) Done = true;
        else Fault = mode == Mode.Length ? $"the host closed the connection {left} bytes before the end of its answer" : "the host closed the connection in the middle of a chunked answer";
    }

    /// <summary>
    /// Takes the framing out of <paramref name="raw"/>, in place: the payload is one run starting at <paramref name="start"/>, of the returned length.
    /// A lone chunk is not moved; later ones are moved up to the first. <paramref name="used"/> is less than the whole only where the body is done or at fault.
    /// </summary>
    public int Unframe(Span<byte> raw, out int start, out int used)
    {
        start = 0;
        switch (mode)
        {
            case Mode.UntilClose:
                used = raw.Length;
                return used;
            case Mode.Length:
                used = (int)Math.Min(left, raw.Length);
                left -= used;
                Done = left == 0;
                return used;
            case Mode.Chunked:
                return Unchunk(raw, out start, out used);
            default:
                used = 0;
                return 0;
        }
    }

    private int Unchunk(Span<byte> raw, out int start, out int used)
    {
        start = 0;
        var length = 0;
        var at = 0;
        while (at < raw.Length && !Done && Fault is null)
        {
            switch (stage)
            {
                case Stage.Data:
                    var run = (int)Math.Min(left, raw.Length - at);
                    if (length == 0) start = at;
                    else raw.Slice(at, run).CopyTo(raw[(start + length)..]);
                    length += run;
                    at += run;
                    left -= run;
                    if (left == 0) stage = Stage.DataEnd;
                    break;
                case Stage.Size or Stage.Blank:
                    ReadSize(raw[at++]);
                    break;
                case Stage.Extension:
                    var end = raw[at..].IndexOf((byte)'\n');
                    var skipped = end < 0 ? raw.Length - at : end + 1;
                    at += skipped;
                    Count(skipped);
                    if (end >= 0) EndSizeLine();
                    break;
                case Stage.SizeLineFeed:
                    if (raw[at++] == '\n') EndSizeLine();
                    else Fault = "a chunk's size line is malformed";
                    break;
                case Stage.DataEnd:
                    var after = raw[at++];
                    if (after == '\r') stage = Stage.DataLineFeed;
                    else if (after == '\n') StartSizeLine();
                    else Fault = "a chunk is longer than its size says";
                    break;
                case Stage.DataLineFeed:
                    if (raw[at++] == '\n') StartSizeLine();
                    else Fault = "a chunk is longer than its size says";
                    break;
                case Stage.TrailerStart:
                    var first = raw[at++];
                    Count(1);
                    if (first == '\n') Done = true;
                    else stage = first == '\r' ? Stage.LastLineFeed : Stage.Trailer;
                    break;
                case Stage.Trailer:
                    var line = raw[at..].IndexOf((byte)'\n');
                    var passed = line < 0 ? raw.Length - at : line + 1;
                    at += passed;
                    Count(passed);
                    if (line >= 0) stage = Stage.TrailerStart;
                    break;
                default:
                    if (raw[at++] == '\n') Done = true;
                    else Fault = "the end of a chunked answer is malformed";
                    break;
            }
        }

        used = at;
        return length;
    }

    private void ReadSize(byte next)
    {
        var digit = char.IsAsciiHexDigit((char)next) ? next <= '9' ? next - '0' : (next | 0x20) - 'a' + 10 : -1;
        if (digit >= 0 && stage == Stage.Size)
        {
            if (left > long.MaxValue >> 4) Fault = "a chunk's size is too large";
            left = (left << 4) | (long)digit;
            digits = true;
        }
        else if (!digits) Fault = "a chunk does not start with its size";
        else if (next == '\r') stage = Stage.SizeLineFeed;
        else if (next == '\n') EndSizeLine();
        else if (next == ';') stage = Stage.Extension;
        else if (next is (byte)' ' or (byte)'\t') stage = Stage.Blank;
        else Fault = "a chunk's size is not a number";
        Count(1);
    }

    private void StartSizeLine()
    {
        stage = Stage.Size;
        digits = false;
        left = 0;
        lineBytes = 0;
    }

    private void EndSizeLine()
    {
        stage = left > 0 ? Stage.Data : Stage.TrailerStart;
        lineBytes = 0;
    }

    private void Count(int bytes)
    {
        lineBytes += bytes;
        if (lineBytes > MaxLineBytes) Fault ??= "the answer's chunk extensions or trailers are too large";
    }
}
