using System.Text;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;

namespace Proxy.Telemetry;

/// <summary>
/// Writes log lines. A line is appended to a buffer under a lock; one thread writes the buffer out, so no call waits for a terminal, a pipe or a disk.
/// The buffer is bounded: above 8 MiB, lines are dropped and counted, and the count is written when there is room again.
/// </summary>
internal sealed class LogWriter : IDisposable
{
    private const int Bound = 8 << 20;
    private readonly Lock gate = new();
    private readonly Stream output;
    private readonly AutoResetEvent something = new(false);
    private readonly Thread thread;
    private PooledBody filling = new(16384);
    private PooledBody writing = new(16384);
    private long dropped;

    /// <summary>The format, for the one line that this class writes itself.</summary>
    public LogFormat Format { get; set; }

    /// <summary>
    /// The lowest level that is written. A reload changes it while calls run. Callers check it, so that no line is built in vain.
    /// </summary>
    public LogLevel Least { get; set; } = LogLevel.Information;

    private bool asleep = true;
    private bool stopped;

    public LogWriter(Stream output)
    {
        this.output = output;
        thread = new Thread(Run) { IsBackground = true, Name = "log" };
        thread.Start();
    }

    /// <summary>Whether the lines go to systemd's journal, which reads a line's priority from <c>&lt;6&gt;</c> at its beginning.</summary>
    public bool IsJournal { get; init; }

    /// <summary>Appends one line; the line end is added.</summary>
    public void Write(ReadOnlySpan<byte> line, LogLevel level = LogLevel.Information)
    {
        bool wake;
        var prefix = IsJournal ? Priority(level) : default;
        lock (gate)
        {
            if (stopped) return;
            if (filling.Length + line.Length > Bound)
            {
                dropped++;
                return;
            }

            var room = filling.GetSpan(prefix.Length + line.Length + 1);
            prefix.CopyTo(room);
            line.CopyTo(room[prefix.Length..]);
            room[prefix.Length + line.Length] = (byte)'\n';
            filling.Advance(prefix.Length + line.Length + 1);
            wake = asleep;
            asleep = false;
        }

        if (wake) something.Set();
    }

    /// <summary>Writes the buffered lines and stops the thread.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (stopped) return;
            stopped = true;
        }

        something.Set();
        thread.Join(TimeSpan.FromSeconds(2));
        something.Dispose();
    }

    /// <summary>
    /// Whether standard error is the journal: <c>JOURNAL_STREAM</c> has its device and inode, and a service may have redirected the stream since.
    /// </summary>
    public static bool IsStandardErrorJournal(string? stream)
    {
        if (stream?.Split(':') is not [_, var inode]) return false;
        try
        {
            return File.ResolveLinkTarget("/proc/self/fd/2", returnFinalTarget: false) is { } target
                && target.Name.EndsWith($"socket:[{inode}]", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static ReadOnlySpan<byte> Priority(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => "<7>"u8,
        LogLevel.Information => "<6>"u8,
        LogLevel.Warning => "<4>"u8,
        LogLevel.Critical => "<2>"u8,
        _ => "<3>"u8,
    };

    private void Run()
    {
        while (true)
        {
            lock (gate)
            {
                if (filling.Length == 0 && stopped) return;
                (filling, writing) = (writing, filling);
                if (dropped > 0)
                {
                    if (IsJournal) filling.Write(Priority(LogLevel.Warning));
                    filling.Write(Encoding.UTF8.GetBytes(Format is LogFormat.Json
                        ? $"{{\"level\":\"warn\",\"event\":\"lines_dropped\",\"lines\":{dropped},\"message\":\"the reader of this log is too slow\"}}\n"
                        : $"log: {dropped} lines dropped, the reader of this log is too slow\n"));
                    dropped = 0;
                }

                asleep = writing.Length == 0;
            }

            if (writing.Length > 0)
            {
                Send();
                writing.Clear();
                // Waits a moment, so that later lines share one write: with a call per millisecond there must not be a write per millisecond.
                if (!stopped) something.WaitOne(20);
                continue;
            }

            something.WaitOne();
        }
    }

    private void Send()
    {
        try
        {
            output.Write(writing.Span);
            output.Flush();
        }
        catch (IOException)
        {
            // The reader of the log is gone; the proxy goes on without a log.
        }
    }
}
