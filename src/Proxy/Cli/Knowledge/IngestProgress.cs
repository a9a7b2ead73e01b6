using System.Globalization;

namespace Proxy.Cli.Knowledge;

/// <summary>Shows how far an ingest is: a bar on a terminal, else a line from time to time. Writes to stderr, because stdout is for the result.</summary>
internal sealed class IngestProgress(TextWriter output, bool isTerminal, bool quiet, TimeProvider time)
{
    private const int BarWidth = 24;
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(100), NextLine = TimeSpan.FromSeconds(10);

    /// <summary>What is counted.</summary>
    public string Unit { get; init; } = "files";

    private long shown = time.GetTimestamp();
    private int drawn;

    public void Show(string doing, int done, int total)
    {
        if (quiet || total == 0) return;
        if (time.GetElapsedTime(shown) < (isTerminal ? Redraw : NextLine)) return;
        shown = time.GetTimestamp();
        if (!isTerminal)
        {
            output.WriteLine($"{doing} {done} of {total} {Unit}");
            return;
        }

        var part = Math.Clamp((double)done / total, 0, 1);
        var full = (int)(part * BarWidth);
        var bar = new string('#', full) + new string('.', BarWidth - full);
        var line = string.Create(CultureInfo.InvariantCulture, $"{doing} [{bar}] {part,4:0%}  {done}/{total} {Unit}");
        output.Write("\r" + line.PadRight(drawn));
        drawn = line.Length;
    }

    /// <summary>Takes the bar away.</summary>
    public void Clear()
    {
        if (drawn == 0) return;
        output.Write("\r" + new string(' ', drawn) + "\r");
        drawn = 0;
    }

    /// <summary>A line for the user, between whose beginning and end no bar stands.</summary>
    public void Say(string line)
    {
        Clear();
        output.WriteLine(line);
    }
}
