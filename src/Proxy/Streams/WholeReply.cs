using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Reads a reply that is not a chat's to its end, into memory or on to a client.</summary>
internal static class WholeReply
{
    /// <summary>Bytes reserved at most because of the announced length, before any of the body has arrived.</summary>
    private const int LongestFirstRoom = 1 << 20;

    /// <summary>Memory for a reply that will be read whole.</summary>
    public static PooledBody NewRoom(BackendReply reply) => new((int)Math.Min(reply.ContentLength ?? 16384, LongestFirstRoom) + 1);

    /// <summary>Reads the reply into memory. Returns the error that cut it short; null: it is complete.</summary>
    public static ValueTask<ProxyError?> ReadAsync(BackendReply reply, PooledBody body) => RunAsync(reply, new DocumentSink(reply, body: body));

    /// <summary>Forwards each piece as it arrives. Returns the error that cut it short; null: it is complete.</summary>
    public static ValueTask<ProxyError?> CopyAsync(BackendReply reply, PipeWriter output) => RunAsync(reply, new CopySink(output));

    // The generation is not disposed, because that would dispose the reply, which the caller still owns.
    private static async ValueTask<ProxyError?> RunAsync(BackendReply reply, IFrameSink sink)
    {
        var end = await new Generation(reply, sink, default, Followers.None).RunAsync();
        return end.Kind is EndKind.ClientLeft ? new(ProxyErrorKind.ClientLeft, "the client left") : end.Error;
    }
}
