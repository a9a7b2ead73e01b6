using System.IO.Pipelines;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Reads a reply that is no chat's to its end: into memory, or on to a client.</summary>
internal static class WholeReply
{
    /// <summary>The room in bytes that a host gets for its answer by its announced length alone, before any of it has come.</summary>
    private const int LongestFirstRoom = 1 << 20;

    /// <summary>Memory for a reply that is to be read whole.</summary>
    public static PooledBody NewRoom(BackendReply reply) => new((int)Math.Min(reply.ContentLength ?? 16384, LongestFirstRoom) + 1);

    /// <summary>Reads the reply into memory. Returns the error that broke it off; null: it is whole.</summary>
    public static ValueTask<ProxyError?> ReadAsync(BackendReply reply, PooledBody body) => RunAsync(reply, new DocumentSink(reply, body: body));

    /// <summary>Sends each piece on as it comes. Returns the error that broke it off; null: it is whole.</summary>
    public static ValueTask<ProxyError?> CopyAsync(BackendReply reply, PipeWriter output) => RunAsync(reply, new CopySink(output));

    // The reply stays the caller's, so the generation is not disposed.
    private static async ValueTask<ProxyError?> RunAsync(BackendReply reply, IFrameSink sink)
    {
        var end = await new Generation(reply, sink, default, Followers.None).RunAsync();
        return end.Kind is EndKind.ClientLeft ? new(ProxyErrorKind.ClientLeft, "the client left") : end.Error;
    }
}
