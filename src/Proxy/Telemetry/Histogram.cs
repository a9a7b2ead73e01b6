namespace Proxy.Telemetry;

/// <summary>Counts observations by size. Thread-safe; observing allocates nothing.</summary>
/// <param name="bounds">The upper bounds of the buckets, inclusive, in order; a last bucket takes what is larger.</param>
internal sealed class Histogram(double[] bounds)
{
    /// <summary>The bounds that the OpenTelemetry conventions give for the time to the first token, and four more: a large prompt takes minutes.</summary>
    public static readonly double[] FirstToken = [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300];

    /// <summary>The conventions' bounds for the time of a token, with smaller ones for small models and a larger one.</summary>
    public static readonly double[] PerToken = [.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 10];

    /// <summary>The conventions' bounds for the duration of a call to a model, and two more.</summary>
    public static readonly double[] Inference = [.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68];

    public static readonly double[] Duration = [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

    public static readonly double[] Queue = [.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300];

    private readonly long[] counts = new long[bounds.Length + 1];
    private long microseconds;

    public double[] Bounds => bounds;

    /// <summary>The sum of all observations, in seconds.</summary>
    public double Sum => Volatile.Read(ref microseconds) / 1e6;

    /// <summary>The number of observations in one bucket alone.</summary>
    public long Bucket(int at) => Volatile.Read(ref counts[at]);

    /// <param name="seconds">The value.</param>
    /// <param name="times">How often it was observed.</param>
    public void Observe(double seconds, long times = 1)
    {
        var at = 0;
        while (at < bounds.Length && seconds > bounds[at]) at++;
        Interlocked.Add(ref counts[at], times);
        Interlocked.Add(ref microseconds, (long)(seconds * times * 1e6));
    }

    /// <summary>A histogram with the observations of several that have the same bounds.</summary>
    public static Histogram Of(IReadOnlyList<Histogram> parts)
    {
        if (parts.Count == 1) return parts[0];
        var sum = new Histogram(parts[0].Bounds);
        foreach (var part in parts)
        {
            for (var i = 0; i < sum.counts.Length; i++) sum.counts[i] += part.Bucket(i);
            sum.microseconds += Volatile.Read(ref part.microseconds);
        }

        return sum;
    }
}

/// <summary>Counts upwards. Thread-safe.</summary>
internal sealed class Counter
{
    private long value;
    public long Value => Volatile.Read(ref value);
    public void Add(long more) => Interlocked.Add(ref value, more);
}

/// <summary>The durations of a feature's own work, one histogram for each value of its label. A feature has a fixed, small set of values.</summary>
/// <param name="label">The label's name; empty: there is no label, and one histogram.</param>
internal sealed class Durations(string label)
{
    private readonly System.Collections.Concurrent.ConcurrentDictionary<string, Histogram> all = new();

    public string Label => label;
    public IEnumerable<KeyValuePair<string, Histogram>> All => all;

    public void Observe(TimeSpan duration, string value = "") => Of(value).Observe(duration.TotalSeconds);

    /// <summary>The histogram of one value, which is exposed from now on, also while it is empty.</summary>
    public Histogram Of(string value) => all.GetOrAdd(value, static _ => new(Histogram.FirstToken));
}
