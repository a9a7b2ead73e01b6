using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>
/// Takes the frames of a generation for its client: as they are (<see cref="VerbatimSink"/>), in the client's dialect (<see cref="TranslatingSink"/>), as one document
/// (<see cref="FoldingSink"/>), or as mere bytes (<see cref="CopySink"/>). Called by one thread at a time.
/// </summary>
internal interface IFrameSink
{
    /// <summary>The host has said all that it will say; however it leaves now, the client misses nothing.</summary>
    bool IsOver { get; }

    /// <summary>A reason why the answer finished has come: it is whole, if perhaps without its token counts.</summary>
    bool HasFinished { get; }

    /// <summary>The answer has failed: more frames are of no use.</summary>
    bool HasFailed { get; }

    /// <summary>The tokens that the host counted so far.</summary>
    Usage? Usage { get; }

    /// <summary>The client may be told between two frames that the stream is alive.</summary>
    bool KeepsAlive { get; }

    /// <summary>Takes every frame of the batch. May write to the client's buffer; sends nothing.</summary>
    void Take(FrameBatch batch);

    /// <summary>Sends what was taken: one write for one read. False: the client takes no more. The batch's memory is borrowed until this returns, not until its task ends.</summary>
    ValueTask<bool> SendAsync(FrameBatch batch);

    /// <summary>Sends a keep-alive. False: the client takes no more.</summary>
    ValueTask<bool> KeepAliveAsync();

    /// <summary>The reply is over: what did it come to?</summary>
    /// <param name="broken">How the host left in the middle; null: as its framing says.</param>
    /// <param name="silent">It fell silent.</param>
    /// <param name="batch">Has the frame that the reply ended in.</param>
    GenerationEnd Close(ProxyError? broken, bool silent, FrameBatch batch);

    /// <summary>The client left and the generation goes on: from here nothing is sent.</summary>
    void Detach();

    /// <summary>Sends the last frame. Called after the gates, and only where the answer is whole.</summary>
    ValueTask EndAsync();
}
