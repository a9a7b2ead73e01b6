using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Streams;

/// <summary>Collects the frames of an answer for the log of bodies.</summary>
internal sealed class BodyTap(FollowedCall call, BodyLog log) : IFrameTap, IEndGate
{
    /// <summary>Bytes of an answer that are logged.</summary>
    private const int Longest = 4 << 20;

    private PooledBody? frames; // rented when the answer begins: many calls have none
    private long length;

    /// <summary>Logs the request, and returns what logs its answer.</summary>
    public static BodyTap Begin(FollowedCall call, BodyLog log)
    {
        if (call.Routed.Call.OriginalBody is { } body)
        {
            var copy = new PooledBody(Math.Max(body.Length, 16));
            foreach (var part in body.Span.Split((byte)'\n')) copy.Write(body.Span[part]); // a line end in JSON is only space: a value is one line
            log.Post(new(call.Info.TraceId, "request", call.Info.Owner, call.Record.Model, copy) { Length = body.Length });
        }

        return new(call, log);
    }

    public void Begin(BackendReply reply) { }

    public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        length += frame.Length;
        frames ??= new(1024);
        if (payload.IsEmpty || payload.SequenceEqual("[DONE]"u8) || frames.Length + payload.Length > Longest) return;
        foreach (var part in payload.Split((byte)'\n')) frames.Write(payload[part]);
        frames.Write("\n"u8);
    }

    public ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation) => default;

    public void Ended(GenerationEnd end)
    {
        if (frames is null) return;
        log.Post(new(call.Info.TraceId, "answer", call.Info.Owner, call.Record.Served ?? call.Record.Model, frames) { Length = length });
    }
}
