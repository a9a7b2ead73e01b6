using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Looks for token counts, the end marker and errors in the frames of a stream that is forwarded unchanged. Parses only frames that contain one of the words
/// it looks for. A struct, so that it is part of its sink: one object fewer to load from memory per event.
/// </summary>
internal struct StreamWatch(BackendDialect dialect)
{
    public Usage? Usage { get; private set; }

    /// <summary>The last frame had token counts.</summary>
    public bool Counted { get; private set; }

    /// <summary>The stream's end marker has arrived.</summary>
    public bool Ended { get; private set; }

    /// <summary>A frame had a finish reason, of at least one choice.</summary>
    public bool SaidWhy { get; private set; }

    /// <summary>The error that the host sent inside the stream.</summary>
    public HostError? Error { get; private set; }

    /// <summary>Some clients cannot read <see cref="Error"/> in the form in which the host sent it.</summary>
    public bool ErrorIsHidden { get; private set; }

    public void Look(ReadOnlySpan<byte> payload, FrameCutter cutter)
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
