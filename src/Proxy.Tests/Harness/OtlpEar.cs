using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>A span as a receiver of traces got it. Ids in hex; a span without a parent has "".</summary>
internal sealed record HeardSpan(string Trace, string Id, string Parent, string Name, int Kind, long From, long To, bool HasFailed)
{
    public Dictionary<string, string> Values { get; } = [];

    /// <summary>The values of the process that sent it.</summary>
    public Dictionary<string, string> Resource { get; init; } = [];
}

/// <summary>A receiver of traces: takes what is posted to a fake host, and reads it with a reader of its own.</summary>
internal sealed class OtlpEar : IAsyncDisposable
{
    public OtlpEar() => Host.Answer(static exchange => exchange.WholeAsync(200, "application/x-protobuf", ""));

    public FakeBackend Host { get; } = FakeBackend.Start();

    public string Url => Host.Url;

    public IReadOnlyList<HeardSpan> Spans => [.. Host.Calls.SelectMany(static call => Read(call.Body))];

    /// <summary>Waits for a span.</summary>
    public async Task<HeardSpan> SpanAsync(Func<HeardSpan, bool> which, string what)
    {
        HeardSpan? found = null;
        await Patience.Until(() => Task.FromResult((found = Spans.FirstOrDefault(which)) is not null), what);
        return found!;
    }

    public ValueTask DisposeAsync() => Host.DisposeAsync();

    /// <summary>The spans of an <c>ExportTraceServiceRequest</c>.</summary>
    public static List<HeardSpan> Read(ReadOnlySpan<byte> request)
    {
        var spans = new List<HeardSpan>();
        foreach (var resourceSpans in Fields(request, 1))
        {
            var resource = new Dictionary<string, string>();
            foreach (var described in Fields(resourceSpans.Bytes, 1)) ReadValues(described.Bytes, 1, resource);
            foreach (var scopeSpans in Fields(resourceSpans.Bytes, 2))
            {
                foreach (var span in Fields(scopeSpans.Bytes, 2)) spans.Add(ReadSpan(span.Bytes, resource));
            }
        }

        return spans;
    }

    private static HeardSpan ReadSpan(byte[] span, Dictionary<string, string> resource)
    {
        var read = new HeardSpan(Hex(1), Hex(2), Hex(4), Encoding.UTF8.GetString(Fields(span, 5)[0].Bytes), (int)Fields(span, 6)[0].Number,
            (long)Fields(span, 7)[0].Number, (long)Fields(span, 8)[0].Number, Fields(span, 15).Any(static status => Fields(status.Bytes, 3)[0].Number == 2))
        {
            Resource = resource,
        };
        ReadValues(span, 9, read.Values);
        return read;

        string Hex(int field) => Fields(span, field) is [var id] ? Convert.ToHexStringLower(id.Bytes) : "";
    }

    private static void ReadValues(byte[] message, int field, Dictionary<string, string> values)
    {
        foreach (var pair in Fields(message, field))
        {
            var value = Fields(pair.Bytes, 2)[0].Bytes;
            values.Add(Encoding.UTF8.GetString(Fields(pair.Bytes, 1)[0].Bytes), Fields(value, 1) is [var text]
                ? Encoding.UTF8.GetString(text.Bytes) : Fields(value, 3)[0].Number.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>The values of one field of a message. Throws if the message is not whole.</summary>
    private static List<(ulong Number, byte[] Bytes)> Fields(ReadOnlySpan<byte> message, int wanted)
    {
        var found = new List<(ulong, byte[])>();
        while (!message.IsEmpty)
        {
            var tag = Varint(ref message);
            (ulong Number, byte[] Bytes) value;
            switch (tag & 7)
            {
                case 0:
                    value = (Varint(ref message), []);
                    break;
                case 1:
                    value = (BinaryPrimitives.ReadUInt64LittleEndian(message), []);
                    message = message[8..];
                    break;
                case 2:
                    var length = (int)Varint(ref message);
                    value = (0, message[..length].ToArray());
                    message = message[length..];
                    break;
                default:
                    throw new InvalidDataException($"there is no wire type {tag & 7}");
            }

            if ((int)(tag >> 3) == wanted) found.Add(value);
        }

        return found;
    }

    private static ulong Varint(ref ReadOnlySpan<byte> message)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var next = message[0];
            message = message[1..];
            value |= (ulong)(next & 0x7f) << shift;
            if (next >= 0x80) continue;
            if (next == 0 && shift > 0) throw new InvalidDataException("a number is longer than it must be");
            return value;
        }
    }
}
