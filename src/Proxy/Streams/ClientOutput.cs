using System.IO.Pipelines;

namespace Proxy.Streams;

/// <summary>The output stream to a client: its writer, how its response begins, and how to send a keep-alive. Implemented in <c>Http/</c>.</summary>
internal abstract class ClientOutput(PipeWriter writer)
{
    public PipeWriter Writer => writer;

    /// <summary>Whether the client's dialect has a keep-alive that may be sent between two frames.</summary>
    public abstract bool KeepsAlive { get; }

    /// <summary>Sets the response's status and headers, unless the response has begun.</summary>
    public abstract void Begin();

    /// <summary>Writes frames and sends them. <paramref name="isPlain"/>: they are one frame, which has content and says nothing about the answer's end.</summary>
    public virtual ValueTask<FlushResult> SendAsync(ReadOnlyMemory<byte> frames, bool isPlain) => writer.WriteAsync(frames);

    /// <summary>Sends a keep-alive; no other code does. False: the client accepts no more bytes.</summary>
    public abstract ValueTask<bool> KeepAliveAsync();
}
