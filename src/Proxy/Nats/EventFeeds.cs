using System.Runtime.CompilerServices;
using NATS.Client.Core;
using Proxy.Workflows;

namespace Proxy.Nats;

/// <summary>A job's events out of the stream that keeps them. It continues after a lost connection where it stopped.</summary>
internal sealed class StoredFeed(NatsParts parts, INatsSub<byte[]> live, string subject, string created) : IEventFeed
{
    /// <summary>How often the stream is asked whether it has more than was published to us. A lost connection is noticed without it.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    private readonly StoredMessages stored = new(parts.Link, parts.Streams.Events, parts.Time);

    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await foreach (var next in stored.FollowAsync(live, subject, isBegun: false, Quiet, cancellation).ConfigureAwait(false))
        {
            if (parts.Streams.Republished != created)
                throw new FeedLostException($"the stream {parts.Streams.Events} was deleted; events of the job may have been missed");
            if (next is { } message) yield return message.Data;
        }

        throw new FeedLostException("the connection to NATS was closed");
    }

    public ValueTask DisposeAsync() => live.DisposeAsync();
}

/// <summary>A job's events as they are published, where no stream keeps them. A lost connection ends it.</summary>
internal sealed class DirectFeed : IEventFeed
{
    private readonly NatsLink link;
    private readonly INatsSub<byte[]> live;
    private readonly int capacity;
    private readonly CancellationTokenSource disposed = new();

    /// <param name="link">The connection.</param>
    /// <param name="live">The subscription.</param>
    /// <param name="losses">How often the connection had been lost when it began.</param>
    /// <param name="capacity">Messages that may wait in it.</param>
    public DirectFeed(NatsLink link, INatsSub<byte[]> live, int losses, int capacity)
    {
        (this.link, this.live, this.capacity) = (link, live, capacity);
        _ = EndWhenLostAsync(losses);
    }

    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        while (await live.Msgs.WaitToReadAsync(cancellation).ConfigureAwait(false))
        {
            if (live.Msgs.Count >= capacity) throw new FeedLostException($"more than {capacity} messages of the job waited for the client");
            if (live.Msgs.TryRead(out var sent)) yield return sent.Data ?? [];
        }

        throw new FeedLostException("the connection to NATS was lost, and events of the job may have been missed: no JetStream stream keeps them");
    }

    public async ValueTask DisposeAsync()
    {
        await disposed.CancelAsync().ConfigureAwait(false);
        disposed.Dispose();
        await live.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Ends the subscription with what came before the loss, so that the reader gets that and nothing that came after a gap.</summary>
    private async Task EndWhenLostAsync(int losses)
    {
        var stop = disposed.Token;
        while (!stop.IsCancellationRequested)
        {
            var changed = link.Changed;
            if (link.Losses != losses) break;
            await changed.WaitAsync(stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await live.UnsubscribeAsync().AsTask().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
