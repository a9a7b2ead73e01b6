using System.Runtime.CompilerServices;
using System.Threading.Channels;
using NATS.Client.Core;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>
/// What is published about a call: its events, and the messages of calls that have ended since it began. With JetStream from its beginning, else from now on.
/// </summary>
internal static class TraceReader
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Messages in their order, until it is cancelled.</summary>
    /// <param name="config">The servers.</param>
    /// <param name="traceId">The call.</param>
    /// <param name="since">When it began.</param>
    /// <param name="note">Told if what was published before cannot be read.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="NatsException">The servers cannot be used.</exception>
    public static async IAsyncEnumerable<(bool IsDone, byte[] Data)> ReadAsync(
        NatsConfig config, string traceId, DateTimeOffset since, Action<string> note, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var prefix = config.Prefix.Length == 0 ? "" : config.Prefix + ".";
        var suffix = config.Prefix.Length == 0 ? "" : "_" + config.Prefix.Replace('.', '_');
        var connection = new NatsConnection(NatsServers.Options(config) with { MaxReconnectRetry = 3 });
        await using var closing = connection.ConfigureAwait(false);
        await connection.ConnectAsync().AsTask().WaitAsync(Patience, cancellation).ConfigureAwait(false);
        var read = Channel.CreateBounded<(bool IsDone, byte[] Data)>(1024);
        await FollowAsync($"PROXY_EVENTS{suffix}", $"{prefix}evt.chat.{traceId}", null, isDone: false).ConfigureAwait(false);
        await FollowAsync($"PROXY_DONE{suffix}", $"{prefix}done.chat.*", since, isDone: true).ConfigureAwait(false);
        await foreach (var message in read.Reader.ReadAllAsync(cancellation).ConfigureAwait(false)) yield return message;

        async Task FollowAsync(string stream, string subject, DateTimeOffset? from, bool isDone)
        {
            var inbox = $"_INBOX.{Guid.NewGuid():N}"; // with NewInbox() the client gets neither these nor its replies
            var hasHistory = true;
            var heard = await connection.SubscribeCoreAsync(inbox, serializer: NatsRawSerializer<byte[]>.Default, opts: Wide, cancellationToken: cancellation)
                .ConfigureAwait(false);
            try
            {
                await new JetStream(connection).DeliverAsync(stream, subject, inbox, from, cancellation).ConfigureAwait(false);
            }
            catch (JetStreamException refused)
            {
                hasHistory = false;
                note($"what was published before is not known: {refused.Message}");
            }

            if (!hasHistory)
            {
                await heard.DisposeAsync().ConfigureAwait(false);
                heard = await connection.SubscribeCoreAsync(subject, serializer: NatsRawSerializer<byte[]>.Default, opts: Wide, cancellationToken: cancellation)
                    .ConfigureAwait(false);
            }

            _ = PassAsync(heard, isDone);
        }

        async Task PassAsync(INatsSub<byte[]> heard, bool isDone)
        {
            try
            {
                await foreach (var message in heard.Msgs.ReadAllAsync(cancellation).ConfigureAwait(false))
                    await read.Writer.WriteAsync((isDone, message.Data ?? []), cancellation).ConfigureAwait(false);
                read.Writer.TryComplete();
            }
            catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
            {
                // The reader has left.
            }
        }
    }

    /// <summary>The milliseconds since 1970 that a trace id begins with; null if it is none.</summary>
    public static DateTimeOffset? Began(string traceId)
    {
        const string Digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's base32, ten of which are 48 bits
        if (traceId.Length != 26) return null;
        var milliseconds = 0L;
        foreach (var letter in traceId.AsSpan(0, 10))
        {
            var digit = Digits.IndexOf(letter, StringComparison.Ordinal);
            if (digit < 0) return null;
            milliseconds = (milliseconds << 5) | (long)digit;
        }

        return milliseconds < 1L << 48 ? DateTimeOffset.FromUnixTimeMilliseconds(Math.Min(milliseconds, 253402300799999)) : null;
    }

    private static NatsSubOpts Wide => new() { ChannelOpts = new() { Capacity = 65536, FullMode = BoundedChannelFullMode.Wait } };
}
