using Microsoft.Extensions.Logging;
using Proxy.Config;

namespace Proxy.Nats;

/// <summary>What the calls share to publish themselves. Dispose it when the last call has ended: what still waits is sent then.</summary>
internal sealed class NatsParts : IDisposable
{
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(2);

    private long cut;

    /// <param name="config">The servers.</param>
    /// <param name="pipelines">The pipelines of the current configuration.</param>
    /// <param name="sharesJournals">Journals are kept there too.</param>
    /// <param name="log">Gets what happens to the connection and to what is published.</param>
    /// <param name="time">The clock.</param>
    public NatsParts(NatsConfig config, Func<IReadOnlyList<PipelineConfig>> pipelines, bool sharesJournals, ILogger log, TimeProvider time)
    {
        (Config, Log, Time) = (config, log, time);
        Prefix = config.Prefix.Length == 0 ? "" : config.Prefix + ".";
        Suffix = config.Prefix.Length == 0 ? "" : "_" + config.Prefix.Replace('.', '_');
        Link = new NatsLink(config, log, time) { Dropped = () => Outbox!.Dropped };
        Streams = new KeptStreams(config, Link, log, time);
        Journals = sharesJournals ? new NatsJournals(config, Link, log, time) : null;
        Jobs = new JobQueue(this, pipelines);
        Link.Opened = () => Task.WhenAll(Streams.EnsureAsync(), Jobs.EnsureAsync(), Journals?.EnsureAsync() ?? Task.CompletedTask);
        Outbox = new Outbox(Link.Connection, Streams.Looked, log, time);
        Clock = new BatchClock(time, config.Batch);
    }

    public NatsConfig Config { get; }

    /// <summary>What the name of every stream ends in: empty, or the prefix.</summary>
    public string Suffix { get; }

    /// <summary>What every subject begins with: empty, or with its dot.</summary>
    public string Prefix { get; }
    public ILogger Log { get; }
    public TimeProvider Time { get; }
    public NatsLink Link { get; }
    public KeptStreams Streams { get; }
    public JobQueue Jobs { get; }

    /// <summary>Null: journals are kept in memory only.</summary>
    public NatsJournals? Journals { get; }
    public Outbox Outbox { get; }
    public BatchClock Clock { get; }

    /// <summary>Messages that lost a part because the server does not take them whole.</summary>
    public long Cut => Volatile.Read(ref cut);

    public void CountCut() => Interlocked.Increment(ref cut);

    public string EventSubject(string traceId) => $"{Prefix}evt.chat.{traceId}";

    public string DoneSubject(string traceId) => $"{Prefix}done.chat.{traceId}";

    public void Dispose()
    {
        Clock.Dispose();
        EndAsync().Wait(LastWords + LastWords);
    }

    private async Task EndAsync()
    {
        await Outbox.CloseAsync(Link.IsUp ? LastWords : TimeSpan.Zero).ConfigureAwait(false);
        await Link.DisposeAsync().ConfigureAwait(false);
    }
}
