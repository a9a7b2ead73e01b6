using System.IO.Pipelines;

namespace Proxy.Streams;

/// <summary>The stream to a client: where its bytes are written, how it begins and what keeps it alive. <c>Http/</c> makes it.</summary>
internal abstract class ClientOutput(PipeWriter writer)
{
    public PipeWriter Writer => writer;

    /// <summary>The dialect has bytes that keep a stream alive between two frames.</summary>
    public abstract bool KeepsAlive { get; }

    /// <summary>Sets the response's status and headers, if nothing has been sent.</summary>
    public abstract void Begin();

    /// <summary>The one place that sends keep-alives. False: the client takes no more.</summary>
    public abstract ValueTask<bool> KeepAliveAsync();
}
