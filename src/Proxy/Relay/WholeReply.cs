using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>Reads a host's reply to its end: into memory, or piece by piece.</summary>
internal static class WholeReply
{
    /// <summary>What a host says of its answer's length is believed this far before it has come.</summary>
    private const int LongestFirstRoom = 1 << 20;

    /// <summary>Memory for a reply that is to be read whole.</summary>
    public static PooledBody NewRoom(BackendReply reply) => new((int)Math.Min(reply.ContentLength ?? 16384, LongestFirstRoom) + 1);

    /// <summary>Reads what is left of a reply into memory. Returns what broke it off, if anything did.</summary>
    public static async ValueTask<ProxyError?> ReadAsync(BackendReply reply, PooledBody body)
    {
        body.Write(reply.Held.Span);
        var tooLong = false;
        var broken = reply.Complete ? null : await DrainAsync(reply, bytes =>
        {
            body.Write(bytes.Span);
            tooLong = body.Length > BackendReply.LongestDocument;
            return new(!tooLong);
        });
        return tooLong ? reply.EndlessDocument() : broken;
    }

    /// <summary>Hands over each piece as it comes; false from <paramref name="take"/> ends it. Returns what ended it early, if anything did.</summary>
    public static async ValueTask<ProxyError?> DrainAsync(BackendReply reply, Func<ReadOnlyMemory<byte>, ValueTask<bool>> take)
    {
        while (true)
        {
            reply.Body.Deadline = reply.NextDeadline(reply.Body.Now);
            var read = await reply.Body.ReadAsync();
            switch (read.Kind)
            {
                case ReplyReadKind.Data:
                    if (!await take(read.Bytes)) return new(ProxyErrorKind.Internal, "the client left");
                    break;
                case ReplyReadKind.Quiet:
                    break;
                case ReplyReadKind.End:
                    return null;
                case ReplyReadKind.TimedOut:
                    return reply.TimedOut();
                case ReplyReadKind.Failed:
                    return reply.BrokeOff();
                default:
                    return new(ProxyErrorKind.Internal, "the client left");
            }
        }
    }
}
