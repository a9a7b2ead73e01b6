using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>
/// The JetStream streams that keep what the proxy publishes. They are created where they are missing; an existing one is never changed. Without JetStream the
/// messages reach only those who are subscribed at the time.
/// </summary>
internal sealed class KeptStreams
{
    private const long Gibibyte = 1L << 30;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource looked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly StreamPlan[] plans;
    private readonly NatsLink link;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly HashSet<string> told = []; // a reconnect does not repeat the same lines

    public KeptStreams(NatsConfig config, NatsLink link, ILogger log, TimeProvider time)
    {
        (this.link, this.log, this.time) = (link, log, time);
        var prefix = config.Prefix.Length == 0 ? "" : config.Prefix + ".";
        var suffix = config.Prefix.Length == 0 ? "" : "_" + config.Prefix.Replace('.', '_');
        Content = new ObjectStore($"PROXY_CONTENT{suffix}", new JetStream(link.Connection), link.Connection);
        plans =
        [
            new($"PROXY_EVENTS{suffix}", [$"{prefix}evt.chat.*"], TimeSpan.FromHours(1), Gibibyte)
            {
                DuplicateWindow = TimeSpan.FromSeconds(10), Republish = ($"{prefix}evt.chat.*", $"{prefix}live.evt.chat.{{{{wildcard(1)}}}}"),
            },
            new($"PROXY_DONE{suffix}", [$"{prefix}done.chat.*"], TimeSpan.FromDays(7), Gibibyte),
            .. config.Record is "full" ? [Content.Plan(TimeSpan.FromDays(7), Gibibyte)] : Array.Empty<StreamPlan>(),
        ];
    }

    /// <summary>Where conversations go that are too large for a message.</summary>
    public ObjectStore Content { get; }

    /// <summary>The name of the stream of events.</summary>
    public string Events => plans[0].Name;

    /// <summary>
    /// When the stream of events was created, if it publishes to <c>live.evt.chat.*</c> what it has stored; null: it does not, or there is none.
    /// </summary>
    public string? Republished { get; private set; }

    /// <summary>Completes when the server was asked for every stream once. What is published before may not be kept.</summary>
    public Task Looked => looked.Task;

    /// <summary>Looks for each stream and creates those that are missing. Problems are logged, none is fatal.</summary>
    public async Task EnsureAsync()
    {
        foreach (var plan in plans)
        {
            while (!await IsSettledAsync(plan).ConfigureAwait(false))
            {
                if (!link.IsUp) return; // the next connect asks again
                await Task.Delay(Pause, time).ConfigureAwait(false);
            }
        }

        looked.TrySetResult();
    }

    /// <summary>False: the server did not answer.</summary>
    private async Task<bool> IsSettledAsync(StreamPlan plan)
    {
        try
        {
            var there = await new JetStream(link.Connection).EnsureAsync(plan, CancellationToken.None).ConfigureAwait(false);
            if (there.IsNew) log.StreamCreated(plan.Name, string.Join(", ", plan.Subjects));
            else if (there.Differences is not null && IsNews(plan.Name + there.Differences)) log.StreamDiffers(plan.Name, there.Differences);
            if (plan.Republish is not null) Republished = there.IsRepublished ? there.Created : null;
            return true;
        }
        catch (Exception refused) when (refused is JetStreamException or System.Text.Json.JsonException)
        {
            if (plan.Republish is not null) Republished = null;
            if (IsNews(plan.Name + refused.Message)) log.NotKept(string.Join(", ", plan.Subjects), refused.Message);
            return true;
        }
        catch (Exception problem) when (problem is NatsException or OperationCanceledException)
        {
            return false;
        }
    }

    private bool IsNews(string line)
    {
        lock (told) return told.Add(line);
    }
}
