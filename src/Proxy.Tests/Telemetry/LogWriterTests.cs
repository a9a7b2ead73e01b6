using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Telemetry;

namespace Proxy.Tests.Telemetry;

public sealed class LogWriterTests
{
    [Fact]
    public async Task Many_threads_write_Every_line_is_whole_and_none_is_lost()
    {
        var output = new MemoryStream();
        using (var writer = new LogWriter(output))
        {
            await Task.WhenAll(Enumerable.Range(0, 8).Select(thread => Task.Run(() =>
            {
                for (var i = 0; i < 5000; i++) writer.Write(Encoding.UTF8.GetBytes($"{thread} {i} {new string('x', i % 50)}."));
            })));
        }

        var lines = Encoding.UTF8.GetString(output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(40_000, lines.Length);
        Assert.All(lines, line => Assert.EndsWith(".", line, StringComparison.Ordinal));
        foreach (var thread in lines.GroupBy(line => line[0]))
            Assert.Equal(Enumerable.Range(0, 5000), thread.Select(line => int.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture)));
    }

    [Fact]
    public void Lines_go_to_the_journal_Each_begins_with_its_priority()
    {
        var output = new MemoryStream();
        using (var writer = new LogWriter(output) { IsJournal = true })
        {
            foreach (var (format, level) in ((LogFormat, LogLevel)[])[
                (LogFormat.Text, LogLevel.Debug), (LogFormat.Text, LogLevel.Information), (LogFormat.Json, LogLevel.Warning), (LogFormat.Text, LogLevel.Error),
                (LogFormat.Json, LogLevel.Critical)])
                LogLine.Begin(format, default, level, " event"u8).Add(" text="u8, "two\nlines").End(writer);
        }

        var lines = Encoding.UTF8.GetString(output.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(["<7>0", "<6>0", "<4>{", "<3>0", "<2>{"], lines.Select(static line => line[..4]));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("8:1")]
    [InlineData("nonsense")]
    public void Standard_error_is_not_the_journal_that_the_variable_names(string? stream) => Assert.False(LogWriter.IsStandardErrorJournal(stream));

    [Theory]
    [InlineData(LogFormat.Text)]
    [InlineData(LogFormat.Json)]
    internal void Reader_is_stuck_Nobody_waits_and_what_was_dropped_is_counted(LogFormat format)
    {
        using var output = new Stuck();
        var line = Encoding.UTF8.GetBytes("{\"x\":\"" + new string('x', 1 << 16) + "\"}");
        using (var writer = new LogWriter(output) { Format = format })
        {
            writer.Write(line);
            output.Waiting.Wait();
            for (var i = 0; i < 400; i++) writer.Write(line); // 25 MiB; the calls return although the output is blocked
            output.Go.Set();
            SpinWait.SpinUntil(() => output.Text.Contains("dropped", StringComparison.Ordinal), TimeSpan.FromSeconds(10));
            writer.Write("last"u8);
        }

        var lines = output.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        var note = Assert.Single(lines, l => l.Contains("dropped", StringComparison.Ordinal));
        var kept = lines.Count(l => l.StartsWith("{\"x\"", StringComparison.Ordinal));
        Assert.InRange(kept, 100, 200); // 8 MiB are kept
        var dropped = format is LogFormat.Json
            ? JsonElement.Parse(note).GetProperty("lines").GetInt32()
            : int.Parse(note.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(401, kept + dropped);
        Assert.Equal("last", lines[^1]);
    }

    [Fact]
    public void Reader_is_gone_The_work_goes_on()
    {
        using var output = new Gone();
        using var writer = new LogWriter(output);
        for (var i = 0; i < 3; i++)
        {
            var before = output.Writes;
            writer.Write("x"u8);
            Assert.True(SpinWait.SpinUntil(() => output.Writes > before, TimeSpan.FromSeconds(10)));
        }
    }

    [Fact]
    public void Closed_What_comes_later_is_nobodys()
    {
        var output = new MemoryStream();
        var writer = new LogWriter(output);
        writer.Write("a"u8);
        writer.Dispose();
        writer.Dispose();
        writer.Write("b"u8);

        Assert.Equal("a\n", Encoding.UTF8.GetString(output.ToArray()));
    }

    private sealed class Stuck : MemoryStream
    {
        private readonly Lock gate = new();

        public ManualResetEventSlim Waiting { get; } = new();
        public ManualResetEventSlim Go { get; } = new();

        public string Text { get { lock (gate) return Encoding.UTF8.GetString(ToArray()); } }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            Waiting.Set();
            Go.Wait();
            lock (gate) base.Write(buffer);
        }
    }

    private sealed class Gone : MemoryStream
    {
        private int writes;

        public int Writes => Volatile.Read(ref writes);

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            Interlocked.Increment(ref writes);
            throw new IOException("broken pipe");
        }
    }
}
