using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Looks at the frames of a stream that is passed on unchanged: token counts, the end marker, an error. Parses only frames that contain one of the words it looks for.
/// A struct, so that it lies inside its sink: one object less to fetch from memory for each event.
/// </summary>
internal struct StreamWatch(BackendDialect dialect)
{
    public Usage? Usage { get; private set; }

    /// <summary>The last frame counts tokens.</summary>
    public bool Counted { get; private set; }

    /// <summary>The stream's own end marker came.</summary>
    public bool Ended { get; private set; }

    /// <summary>A frame said why the answer finished, or at least why one of its choices did.</summary>
    public bool SaidWhy { get; private set; }

    /// <summary>The host said inside the stream that it failed.</summary>
    public HostError? Error { get; private set; }

    /// <summary>Some clients cannot read <see cref="Error"/> in the form in which the host sent it.</summary>
    public bool ErrorIsHidden { get; private set; }

    /// <param name="payload">The frame's payload.</param>
    /// <param name="cutter">The cutter that gave it.</param>
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
