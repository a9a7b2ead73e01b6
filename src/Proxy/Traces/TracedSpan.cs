using Proxy.Chat;

namespace Proxy.Traces;

/// <summary>A value of a span: a text, or a number if the text is null.</summary>
internal readonly record struct SpanValue(string Key, string? Text, long Number);

/// <summary>
/// One trace's part in this process: its id, and the time by which all its spans are dated, so that a change of the system's clock moves none.
/// </summary>
/// <param name="Id">The trace's id.</param>
/// <param name="Time">The clock.</param>
internal sealed record LocalTrace(UInt128 Id, TimeProvider Time)
{
    private readonly long unixNanoseconds = (Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100;
    private readonly long stamp = Time.GetTimestamp();

    /// <summary>Nanoseconds since 1970 of a timestamp.</summary>
    public long DateOf(long timestamp) => unixNanoseconds + (Time.GetElapsedTime(stamp, timestamp).Ticks * 100);
}

/// <summary>A span that is written. It is handed over when it ends.</summary>
internal sealed class TracedSpan : CallSpan
{
    private const int LongestText = 1024;

    private readonly SpanQueue queue;
    private readonly LocalTrace trace;
    private readonly List<SpanValue> values = [];
    private string? traceParent;
    private int hasEnded;

    /// <param name="queue">Takes the span when it has ended.</param>
    /// <param name="trace">The trace.</param>
    /// <param name="parent">The id of the span above it; 0: it is the trace's first.</param>
    /// <param name="name">What is done, one of few texts.</param>
    /// <param name="kind">What it is to its parent.</param>
    public TracedSpan(SpanQueue queue, LocalTrace trace, ulong parent, string name, SpanKind kind)
        : this(queue, trace, parent, name, kind, trace.Time.GetTimestamp()) { }

    private TracedSpan(SpanQueue queue, LocalTrace trace, ulong parent, string name, SpanKind kind, long from)
    {
        (this.queue, this.trace, Parent, Name, Kind) = (queue, trace, parent, name, kind);
        From = trace.DateOf(from);
    }

    public UInt128 Trace => trace.Id;
    public ulong Id { get; } = TraceParents.NewSpan();
    public ulong Parent { get; }
    public string Name { get; }
    public SpanKind Kind { get; }

    /// <summary>Its beginning and end, in nanoseconds since 1970.</summary>
    public long From { get; }

    /// <inheritdoc cref="From"/>
    public long To { get; private set; }
    public IReadOnlyList<SpanValue> Values => values;

    /// <summary>The work failed.</summary>
    public bool HasFailed { get; private set; }

    public override bool IsOn => true;

    public override string TraceParent => traceParent ??= TraceParents.Write(trace.Id, Id, isSampled: true);

    public override CallSpan Begin(string name, SpanKind kind) => new TracedSpan(queue, trace, Id, name, kind);

    public override CallSpan Add(string name, long from, long to, SpanKind kind) =>
        new TracedSpan(queue, trace, Id, name, kind, from) { To = trace.DateOf(Math.Max(from, to)) };

    public override void Set(string key, string? value)
    {
        if (value is not null) values.Add(new(key, value.Length > LongestText ? value[..LongestText] : value, 0));
    }

    public override void Set(string key, long? value)
    {
        if (value is { } number) values.Add(new(key, null, number));
    }

    public override void Fail(string type)
    {
        HasFailed = true;
        Set("error.type", type);
    }

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref hasEnded, 1) != 0) return;
        if (To == 0) To = trace.DateOf(trace.Time.GetTimestamp());
        queue.Add(this);
    }
}
