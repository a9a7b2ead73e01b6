using System.Globalization;

namespace Proxy.Tests.Harness;

/// <summary>What the system says of a process at a moment.</summary>
/// <param name="Resident">Its memory in bytes.</param>
/// <param name="Descriptors">Its open descriptors.</param>
/// <param name="Sockets">Those of them that are sockets.</param>
/// <param name="Threads">Its threads.</param>
/// <param name="Children">Processes that it has started.</param>
internal sealed record ProcessFigures(long Resident, int Descriptors, int Sockets, int Threads, int Children)
{
    public static ProcessFigures Of(int process)
    {
        var status = File.ReadAllLines($"/proc/{process}/status");
        var links = Directory.GetFiles($"/proc/{process}/fd").Select(static file => new FileInfo(file).LinkTarget).ToList();
        var children = Directory.GetDirectories($"/proc/{process}/task")
            .Sum(static task => ReadOrNothing(task + "/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Length);
        return new(Number("VmRSS:") * 1024, links.Count, links.Count(static link => link?.StartsWith("socket:", StringComparison.Ordinal) is true),
            (int)Number("Threads:"), children);

        long Number(string name) => long.Parse(status.First(line => line.StartsWith(name, StringComparison.Ordinal)).Split(
            [' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Resident / 1048576.0:F1} MiB, {Descriptors} descriptors ({Sockets} sockets), {Threads} threads, {Children} children");

    private static string ReadOrNothing(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (IOException)
        {
            return ""; // the thread has ended
        }
    }
}
