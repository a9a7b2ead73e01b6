using System.Globalization;
using Proxy.Inference;

namespace Proxy.Cli.Inference;

/// <summary>
/// Shows the progress of a download: a bar with its rate on a terminal, else one line per file. Writes to stderr, because stdout is for the result.
/// </summary>
internal sealed class PullProgress(TextWriter output, bool isTerminal, TimeProvider time) : IPullProgress
{
    private const int BarWidth = 20;
    private const int NameWidth = 24;
    private static readonly TimeSpan Redraw = TimeSpan.FromMilliseconds(100);

    private long began, drawn, from, bytes;

    public static string Size(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.0} MB");

    public void Began(HubFile file, long from)
    {
        (began, drawn, this.from, bytes) = (time.GetTimestamp(), 0, from, from);
        if (isTerminal) Draw(file);
        else if (from > 0) output.WriteLine($"{file.Path} {Size(file.Size)}, resumed at {Size(from)}");
        else output.WriteLine($"{file.Path} {Size(file.Size)}");
    }

    public void Reached(HubFile file, long bytes)
    {
        if (bytes < from) from = 0; // the download started again
        this.bytes = bytes;
        if (isTerminal && time.GetElapsedTime(drawn) >= Redraw) Draw(file);
    }

    public void Ended(HubFile file)
    {
        if (!isTerminal) return;
        Draw(file);
        output.WriteLine();
    }

    public void Retrying(HubFile file, string reason)
    {
        if (isTerminal) output.WriteLine();
        output.WriteLine($"{file.Path}: {reason}; resumes at {Size(bytes)}");
    }

    private void Draw(HubFile file)
    {
        drawn = time.GetTimestamp();
        var part = file.Size == 0 ? 1 : Math.Min(1, (double)bytes / file.Size);
        var seconds = time.GetElapsedTime(began).TotalSeconds;
        var rate = seconds > 0 ? (bytes - from) / seconds : 0;
        var full = (int)(part * BarWidth);
        var name = file.Path.Length > NameWidth ? $"…{file.Path[^(NameWidth - 1)..]}" : file.Path.PadRight(NameWidth);
        output.Write(string.Create(CultureInfo.InvariantCulture,
            $"\r{name} [{new string('#', full)}{new string('.', BarWidth - full)}] {part,4:0%}  {bytes / 1e6:0.0}/{Size(file.Size)}  {Size((long)rate)}/s  "));
    }
}
