using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Takes the frames of a generation for its client: unchanged (<see cref="VerbatimSink"/>), translated into the client's dialect
/// (<see cref="TranslatingSink"/>), as one document (<see cref="FoldingSink"/>) or as raw bytes (<see cref="CopySink"/>). Called by one thread at a time.
/// </summary>
internal interface IFrameSink
{
    /// <summary>The end marker or an error has arrived. However the host's connection ends after this, the client misses nothing; no more is read.</summary>
    bool IsOver { get; }

    /// <summary>The answer can be completed with what has arrived, so that a cancelled read does not cut it.</summary>
    bool HasFinished { get; }

    /// <summary>The answer has failed; reading more frames is useless.</summary>
    bool HasFailed { get; }

    /// <summary>The token counts that the host has sent so far.</summary>
    Usage? Usage { get; }

    /// <summary>Whether a keep-alive may be sent between two frames.</summary>
    bool KeepsAlive { get; }

    /// <summary>Takes every frame of the batch. May write to the client's buffer, but sends nothing.</summary>
    void Take(FrameBatch batch);

    /// <summary>
    /// Sends the frames that were taken, in one write. False: the client accepts no more bytes. The batch's memory is valid until this method returns,
    /// not until its task completes.
    /// </summary>
    ValueTask<bool> SendAsync(FrameBatch batch);

    /// <summary>Sends a keep-alive. False: the client accepts no more bytes.</summary>
    ValueTask<bool> KeepAliveAsync();

    /// <summary>Decides, after the last read, how the generation ended.</summary>
    /// <param name="broken">The error with which the host broke off; null: the body ended as its framing says.</param>
    /// <param name="silent">The host broke off by falling silent.</param>
    /// <param name="batch">Holds the bytes after the last complete frame.</param>
    GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch);

    /// <summary>Sends the last frame. Called after the gates, and only if the answer is complete.</summary>
    ValueTask EndAsync();
}
