using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>
/// Looks at a relayed stream's bytes after they were sent on: token counts, the end marker, an error frame. Nothing is parsed that does not hold
/// one of the words looked for. Sees whole frames however the network cut them; only the rest of a cut frame is copied.
/// </summary>
internal sealed class StreamWatch(BackendDialect dialect) : IDisposable
{
    private readonly FrameCutter cutter = FrameCutter.For(dialect.Framing);
    private PooledBody? cut;

    public Usage? Usage { get; private set; }

    /// <summary>The stream's own end marker came.</summary>
    public bool Ended { get; private set; }

    /// <summary>The host said inside the stream that it failed.</summary>
    public HostError? Error { get; private set; }

    /// <summary>Between two frames: the only place where a keep-alive may stand.</summary>
    public bool AtBoundary => cut is not { Length: > 0 };

    public void See(ReadOnlySpan<byte> bytes)
    {
        if (AtBoundary)
        {
            var rest = Examine(bytes);
            if (!rest.IsEmpty) (cut ??= new PooledBody(rest.Length * 2)).Write(rest);
            return;
        }

        cut!.Write(bytes);
        cut.Consume(cut.Length - Examine(cut.Span).Length);
    }

    /// <summary>The host closed the stream: what is left counts as a frame.</summary>
    public void SeeEnd()
    {
        if (AtBoundary) return;
        Look(cutter.PayloadOfRest(cut!.Span));
        cut.Clear();
    }

    public void Dispose()
    {
        cutter.Dispose();
        cut?.Dispose();
    }

    private ReadOnlySpan<byte> Examine(ReadOnlySpan<byte> bytes)
    {
        while (cutter.TryTake(ref bytes, out _, out var payload)) Look(payload);
        return bytes;
    }

    private void Look(ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty) return;
        if (dialect.IsEnd(payload)) Ended = true;
        Usage = dialect.FindUsage(payload) ?? Usage;
        if (payload.IndexOf("\"error\""u8) >= 0 && dialect.Classify(payload) is FrameKind.Error) Error = dialect.ReadError(payload);
    }
}
