using System.Buffers.Binary;

namespace Proxy.Traces;

/// <summary>
/// Writes spans as an OTLP <c>ExportTraceServiceRequest</c>, and reads its answer. The messages:
/// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
/// </summary>
/// <param name="version">The program's version.</param>
internal sealed class OtlpRequest(string version)
{
    private const int StatusError = 2;

    private readonly ProtoWriter proto = new();

    /// <summary>The request's body. Valid until the next call.</summary>
    public ReadOnlyMemory<byte> Write(IReadOnlyList<TracedSpan> spans)
    {
        proto.Clear();
        var resourceSpans = proto.Open(1);
        var resource = proto.Open(1);
        Attribute(1, new("service.name", "proxy", 0));
        Attribute(1, new("service.version", version, 0));
        Attribute(1, new("host.name", Environment.MachineName, 0));
        Attribute(1, new("process.pid", null, Environment.ProcessId));
        proto.Close(resource);
        var scopeSpans = proto.Open(2);
        var scope = proto.Open(1);
        proto.Text(1, "proxy");
        proto.Close(scope);
        foreach (var span in spans) Write(span);
        proto.Close(scopeSpans);
        proto.Close(resourceSpans);
        return proto.Written;
    }

    private void Write(TracedSpan span)
    {
        Span<byte> id = stackalloc byte[16];
        var begin = proto.Open(2);
        BinaryPrimitives.WriteUInt128BigEndian(id, span.Trace);
        proto.Bytes(1, id);
        BinaryPrimitives.WriteUInt64BigEndian(id, span.Id);
        proto.Bytes(2, id[..8]);
        if (span.Parent != 0)
        {
            BinaryPrimitives.WriteUInt64BigEndian(id, span.Parent);
            proto.Bytes(4, id[..8]);
        }

        proto.Text(5, span.Name);
        proto.Number(6, (int)span.Kind);
        proto.Fixed(7, span.From);
        proto.Fixed(8, span.To);
        foreach (var value in span.Values) Attribute(9, value);
        if (span.HasFailed)
        {
            var status = proto.Open(15);
            proto.Number(3, StatusError);
            proto.Close(status);
        }

        proto.Close(begin);
    }

    private void Attribute(int field, SpanValue value)
    {
        var begin = proto.Open(field);
        proto.Text(1, value.Key);
        var any = proto.Open(2);
        if (value.Text is { } text) proto.Text(1, text);
        else proto.Number(3, value.Number);
        proto.Close(any);
        proto.Close(begin);
    }

    /// <summary>How many spans of a request the receiver did not take, by the body of its 200. A body that cannot be read says none.</summary>
    public static long ReadRejected(ReadOnlySpan<byte> answer)
    {
        // partial_success = 1 { rejected_spans = 1 }
        if (!TryField(answer, 1, 2, out var length, out var rest) || (ulong)rest.Length < length) return 0;
        return TryField(rest[..(int)length], 1, 0, out var rejected, out _) && rejected <= int.MaxValue ? (long)rejected : 0;
    }

    /// <summary>Reads the first field of a message, if it is this one.</summary>
    private static bool TryField(ReadOnlySpan<byte> message, int field, int type, out ulong value, out ReadOnlySpan<byte> rest)
    {
        value = 0;
        rest = default;
        if (message.IsEmpty || message[0] != ((field << 3) | type)) return false;
        for (var i = 1; i < Math.Min(message.Length, 11); i++)
        {
            value |= (ulong)(message[i] & 0x7f) << (7 * (i - 1));
            rest = message[(i + 1)..];
            if (message[i] < 0x80) return true;
        }

        return false;
    }
}
