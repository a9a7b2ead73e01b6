namespace Proxy.Chat;

/// <summary>
/// Sees every frame of a stream as the host sent it, for example to store it. Synchronous: the bytes are borrowed and valid only during the call.
/// </summary>
internal interface IFrameTap
{
    /// <summary>The answer has arrived: its host, its status and its dialect are known. Called once, before the first frame.</summary>
    void Begin(BackendReply reply);

    /// <param name="number">Counts the stream's frames from 1.</param>
    /// <param name="frame">All bytes of the frame.</param>
    /// <param name="payload">The JSON that it carries; empty for a comment.</param>
    void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload);
}
