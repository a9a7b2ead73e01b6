using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Proxy.Transport;

/// <summary>
/// Rejects a client that starts with HTTP/2 (prior knowledge) on a listener without TLS, where HTTP/2 is not served: sends SETTINGS, then GOAWAY with
/// HTTP_1_1_REQUIRED (RFC 9113 §3.4, §7). Kestrel would send the GOAWAY alone, which a client must treat as a connection error. All other
/// connections are passed to Kestrel unchanged.
/// </summary>
internal sealed class PriorKnowledge
{
    // Kestrel's limit for a connection that sends nothing, in its heartbeats of one second. Kestrel starts counting only when it gets the connection.
    private const int LongestSilence = 130;

    // For this many heartbeats the client's frames are read and discarded, so that a TCP reset does not destroy the answer.
    private const int LongestFarewell = 2;

    private readonly PipeReader input;
    private int beats;
    private volatile int most = LongestSilence;

    private PriorKnowledge(PipeReader input) => this.input = input;

    private static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    public static ConnectionDelegate Use(ConnectionDelegate server) => async connection =>
    {
        var prior = new PriorKnowledge(connection.Transport.Input);
        connection.Features.Get<IConnectionHeartbeatFeature>()?.OnHeartbeat(static state => ((PriorKnowledge)state).Beat(), prior);
        var ending = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        try
        {
            bool speaksHttp2;
            await using (ending.UnsafeRegister(static state => ((PriorKnowledge)state!).input.CancelPendingRead(), prior))
                speaksHttp2 = await prior.IsPrefaceAsync();
            if (speaksHttp2)
            {
                await prior.RefuseAsync(connection.Transport.Output);
                return;
            }
        }
        catch (Exception gone) when (gone is ConnectionResetException or ConnectionAbortedException)
        {
            return; // the client has disconnected
        }

        await server(connection);
    };

    /// <summary>Looks at the connection's first bytes without consuming them.</summary>
    private async ValueTask<bool> IsPrefaceAsync()
    {
        while (true)
        {
            var read = await input.ReadAsync();
            var bytes = read.Buffer;
            var isWhole = bytes.Length >= Preface.Length;
            var begins = Begins(bytes);
            var goesOn = begins && !isWhole && !read.IsCompleted && !read.IsCanceled;
            input.AdvanceTo(bytes.Start, goesOn ? bytes.End : bytes.Start);
            if (goesOn) continue;
            most = 0;
            return begins && isWhole;
        }
    }

    private static bool Begins(ReadOnlySequence<byte> bytes)
    {
        Span<byte> first = stackalloc byte[24];
        var length = (int)Math.Min(bytes.Length, first.Length);
        bytes.Slice(0, length).CopyTo(first);
        return Preface.StartsWith(first[..length]);
    }

    private async ValueTask RefuseAsync(PipeWriter output)
    {
        await output.WriteAsync(Goodbye); // the pipe is not completed: the runtime's transport would then close its socket at once
        (beats, most) = (0, LongestFarewell);
        ReadResult read;
        do
        {
            read = await input.ReadAsync();
            input.AdvanceTo(read.Buffer.End);
        }
        while (!read.IsCompleted && !read.IsCanceled);
    }

    // Called on Kestrel's heartbeat thread.
    private void Beat()
    {
        if (most > 0 && ++beats == most) input.CancelPendingRead();
    }

    /// <summary>
    /// Two frames, each a header of nine bytes and its payload (RFC 9113 §4.1): an empty SETTINGS (4), and GOAWAY (7) with last stream 0, error code
    /// HTTP_1_1_REQUIRED (13) and a text for the client's log.
    /// </summary>
    private static readonly byte[] Goodbye =
    [
        0, 0, 0, 4, 0, 0, 0, 0, 0,
        0, 0, (byte)(8 + Words.Length), 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, .. Words,
    ];

    private static ReadOnlySpan<byte> Words => "HTTP/2 is served with TLS only; speak HTTP/1.1 here"u8;
}
