using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Store;
using Proxy.Store.Sqlite;
using Proxy.Streams;

namespace Proxy.Bench;

/// <summary>
/// Writes the same rows in two ways, in turn: as records of many calls that end at once, through <see cref="RecordWriter"/>, where they also count in the
/// daily usage; and as bare inserts on one thread, in transactions of the size that the records had. Arguments: the folder of the files, rounds, rows a
/// round, calls at once.
/// </summary>
internal static class Program
{
    private static int next;

    public static async Task<int> Main(string[] arguments)
    {
        var folder = Directory.CreateDirectory(Path.Combine(arguments.ElementAtOrDefault(0) ?? Path.GetTempPath(), $"store-bench-{Environment.ProcessId}"));
        var (rounds, rows, atOnce) = (Number(arguments, 1, 15), Number(arguments, 2, 5000), Number(arguments, 3, 50));
        try
        {
            await using var store = new SqliteStore(Path.Combine(folder.FullName, "records.db"), TimeProvider.System);
            using var writer = new RecordWriter(store, "a file", NullLogger.Instance, TimeProvider.System);
            using var bare = await BareAsync(Path.Combine(folder.FullName, "bare.db"));
            var results = new List<(Cost Bare, Cost Record)>();
            for (var round = -1; round < rounds; round++)
            {
                var before = writer.Commits;
                var recorded = await MeasureAsync(rows, () => RecordAsync(writer, rows, atOnce));
                var group = (int)Math.Round(rows / (double)(writer.Commits - before));
                var inserted = await MeasureAsync(rows, () => Insert(bare, rows, group));
                if (round < 0) continue; // the first warms up
                results.Add((inserted, recorded));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"record {recorded}, bare {inserted}, {group} rows a transaction"));
            }

            var cpu = Median(results.Select(static result => result.Record.Cpu / result.Bare.Cpu));
            var wall = Median(results.Select(static result => result.Record.Wall / result.Bare.Wall));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"median of {rounds} rounds of {rows} rows, {atOnce} at once: a record is {cpu:F2} x the CPU and {wall:F2} x the time of a bare grouped insert"));
            return cpu <= 1.5 ? 0 : 1;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>A database of the same tables and settings.</summary>
    private static async Task<SqliteConnection> BareAsync(string path)
    {
        await using (var store = new SqliteStore(path, TimeProvider.System)) await store.CommitAsync([], default);
        var connection = new SqliteConnection(path);
        connection.Execute("pragma synchronous = full");
        return connection;
    }

    private static Task Insert(SqliteConnection connection, int rows, int group)
    {
        for (var done = 0; done < rows; done += group)
        {
            connection.Execute("begin immediate");
            for (var i = 0; i < Math.Min(group, rows - done); i++) SqliteRows.Insert(connection, Row());
            connection.Execute("commit");
        }

        return Task.CompletedTask;
    }

    private static Task RecordAsync(RecordWriter writer, int rows, int atOnce) => Task.WhenAll(Enumerable.Range(0, atOnce).Select(_ => Task.Run(async () =>
    {
        for (var i = 0; i < rows / atOnce; i++) await writer.WriteAsync([Row()], default);
    })));

    private static ExchangeRow Row()
    {
        var trace = $"01KX{Interlocked.Increment(ref next),022}".Replace(' ', '0');
        return new()
        {
            TraceId = trace, CorrelationId = trace, Session = "d2c1f6f0-4a4e-4b55-9f5f-1f7c3d3f8a10", Owner = "laptop", Surface = "/v1/chat/completions",
            Model = "qwen3-coder:30b", Route = "direct", Winner = "qwen3-coder:30b", Backend = "gpu", Status = "ok", InputTokens = 1234, OutputTokens = 321,
            Started = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero), FirstTokenMs = 123.4, DurationMs = 5678.9,
        };
    }

    private static async Task<Cost> MeasureAsync(int rows, Func<Task> work)
    {
        using var process = Process.GetCurrentProcess();
        var (cpu, start) = (process.TotalProcessorTime, Stopwatch.GetTimestamp());
        await work();
        var wall = Stopwatch.GetElapsedTime(start);
        process.Refresh();
        return new((process.TotalProcessorTime - cpu).TotalMicroseconds / rows, wall.TotalMicroseconds / rows);
    }

    private static double Median(IEnumerable<double> values) => values.Order().ToArray() is var sorted ? sorted[sorted.Length / 2] : 0;

    private static int Number(string[] arguments, int at, int otherwise) =>
        arguments.Length > at ? int.Parse(arguments[at], CultureInfo.InvariantCulture) : otherwise;

    /// <summary>Microseconds for each row.</summary>
    private readonly record struct Cost(double Cpu, double Wall)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Cpu:F1} µs CPU in {Wall:F1} µs");
    }
}
