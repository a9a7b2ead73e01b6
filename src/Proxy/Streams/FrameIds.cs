using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Proxy.Streams;

/// <summary>
/// A place in a stream: after the host's frame with that number, counted from 1. In a stream that is written from events, a frame can become several messages:
/// the place is then after the message with the number <paramref name="Message"/> of that frame, or after all of them.
/// </summary>
internal readonly record struct StreamPlace(long Frame, int Message = int.MaxValue)
{
    public static readonly StreamPlace Start = new(0);

    /// <summary>Reads <c>7</c>, <c>7.2</c>, or a frame's whole id, <c>TRACE_ID/7.2</c>.</summary>
    public static bool TryParse(string text, string traceId, out StreamPlace place)
    {
        place = Start;
        var slash = text.IndexOf('/');
        if (slash >= 0 && text[..slash] != traceId) return false;
        var numbers = text.AsSpan(slash + 1);
        var dot = numbers.IndexOf('.');
        var message = int.MaxValue;
        if (!long.TryParse(dot < 0 ? numbers : numbers[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out var frame)) return false;
        if (dot >= 0 && !int.TryParse(numbers[(dot + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out message)) return false;
        place = new(frame, message);
        return true;
    }

    public bool IsAtOrBefore(StreamPlace other) => Frame < other.Frame || (Frame == other.Frame && Message <= other.Message);
}

/// <summary>
/// Gives the frames of a resumable stream their ids (<c>id: TRACE_ID/7</c>, a field of server-sent events that every client must accept), and leaves out those
/// that the client already has.
/// </summary>
/// <param name="traceId">The id of the call that is answered.</param>
/// <param name="after">Where the client's copy ends.</param>
/// <param name="writes">False for a dialect whose frames have no place for an id. Its clients count the messages that they have.</param>
internal sealed class FrameIds(string traceId, StreamPlace after, bool writes)
{
    private readonly bool countsMessages = !writes && after.Message == int.MaxValue;
    private long messages;
    private readonly byte[] start = Encoding.ASCII.GetBytes($"id: {traceId}/");

    /// <summary>Writes the line with the id, which stands before the frame's own lines. False: the client has the frame, so it is not written.</summary>
    public bool Begin(long frame, IBufferWriter<byte> output)
    {
        if (frame <= after.Frame) return false;
        if (writes) Write(frame, null, output, default);
        return true;
    }

    /// <summary>Writes a frame with its id, unless the client has it.</summary>
    public void Write(long frame, ReadOnlySpan<byte> bytes, IBufferWriter<byte> output)
    {
        if (frame <= after.Frame) return;
        if (writes) Write(frame, null, output, bytes);
        else output.Write(bytes);
    }

    /// <summary>The same for the message with the number <paramref name="message"/> of those that are written from one frame.</summary>
    public bool Begin(long frame, int message, IBufferWriter<byte> output)
    {
        if (countsMessages ? ++messages <= after.Frame : new StreamPlace(frame, message).IsAtOrBefore(after)) return false;
        if (writes) Write(frame, message, output, default);
        return true;
    }

    private void Write(long frame, int? message, IBufferWriter<byte> output, ReadOnlySpan<byte> rest)
    {
        var line = output.GetSpan(start.Length + 40 + rest.Length);
        start.CopyTo(line);
        Utf8Formatter.TryFormat(frame, line[start.Length..], out var length);
        length += start.Length;
        if (message is { } number)
        {
            line[length++] = (byte)'.';
            Utf8Formatter.TryFormat(number, line[length..], out var digits);
            length += digits;
        }

        line[length++] = (byte)'\n';
        rest.CopyTo(line[length..]);
        output.Advance(length + rest.Length);
    }
}
