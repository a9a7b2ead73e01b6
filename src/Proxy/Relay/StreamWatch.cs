using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>
/// Looks at a relayed stream's frames: token counts, the end marker, an error frame. Nothing is parsed that does not hold one of the words looked for.
/// </summary>
internal sealed class StreamWatch(BackendDialect dialect) : IDisposable
{
    private readonly FrameCutter cutter = FrameCutter.For(dialect.Framing);

    public FrameCutter Cutter => cutter;

    public Usage? Usage { get; private set; }

    /// <summary>The frame seen last counts tokens.</summary>
    public bool Counted { get; private set; }

    /// <summary>The stream's own end marker came.</summary>
    public bool Ended { get; private set; }

    /// <summary>A frame said why the answer finished, or at least why one of its choices did.</summary>
    public bool SaidWhy { get; private set; }

    /// <summary>The host said inside the stream that it failed.</summary>
    public HostError? Error { get; private set; }

    /// <summary>Not every client sees <see cref="Error"/> in what the host sent.</summary>
    public bool ErrorIsHidden { get; private set; }

    /// <summary>Looks at the next frame and takes it off the front of <paramref name="pending"/>; false when no whole frame is left.</summary>
    public bool TrySee(ref ReadOnlySpan<byte> pending, out ReadOnlySpan<byte> frame, out ReadOnlySpan<byte> payload)
    {
        if (!cutter.TryTake(ref pending, out frame, out payload)) return false;
        Look(payload);
        return true;
    }

    /// <summary>The host closed the stream: what it left unterminated counts as a frame. Returns what that carries.</summary>
    public ReadOnlySpan<byte> SeeRest(ReadOnlySpan<byte> rest)
    {
        var payload = cutter.PayloadOfRest(rest);
        Look(payload);
        return payload;
    }

    public void Dispose() => cutter.Dispose();

    private void Look(ReadOnlySpan<byte> payload)
    {
        Counted = false;
        if (payload.IsEmpty) return;
        if (dialect.IsEnd(payload)) Ended = true;
        SaidWhy = SaidWhy || dialect.SaysWhyFinished(payload);
        if (dialect.FindUsage(payload) is { } counts)
        {
            Counted = true;
            Usage = counts.After(Usage);
        }

        if (payload.IndexOf("\"error\""u8) < 0 || dialect.Classify(payload) is not FrameKind.Error) return;
        Error = dialect.ReadError(payload);
        ErrorIsHidden = cutter.IsHiddenError;
    }
}
