using System.Globalization;

namespace Proxy.Telemetry;

/// <summary>What this process uses, by the names that Prometheus' client libraries and OpenTelemetry's conventions for .NET have for it.</summary>
internal static class ProcessMetrics
{
    private const double TicksPerSecond = 100; // Linux's on the processors that the proxy is built for

    private static readonly double Started = Start();

    public static IEnumerable<Gauge> Read()
    {
        var (virtualBytes, threads) = Sizes();
        yield return new("process_cpu_seconds_total", "Processor time of this process.", "", Environment.CpuUsage.TotalTime.TotalSeconds);
        yield return new("process_resident_memory_bytes", "Memory of this process.", "", Environment.WorkingSet);
        yield return new("process_virtual_memory_bytes", "Address space of this process.", "", virtualBytes);
        yield return new("process_threads", "Threads of this process.", "", threads);
        yield return new("process_start_time_seconds", "When this process was started, in seconds since 1970.", "", Started);
        yield return new("process_open_fds", "Open file descriptors.", "", Descriptors());
        yield return new("process_max_fds", "The most file descriptors that this process may have open.", "", MostDescriptors());
        for (var generation = 0; generation <= GC.MaxGeneration; generation++)
        {
            yield return new("dotnet_gc_collections_total", "Garbage collections.", $"gc_heap_generation=\"gen{generation}\"",
                GC.CollectionCount(generation));
        }

        yield return new("dotnet_gc_pause_seconds_total", "Time that the process stood still for garbage collections.", "",
            GC.GetTotalPauseDuration().TotalSeconds);
        yield return new("dotnet_gc_heap_bytes", "Memory of managed objects, those included that are not collected yet.", "", GC.GetTotalMemory(false));
        yield return new("dotnet_gc_allocated_bytes_total", "Memory that was allocated for managed objects.", "", GC.GetTotalAllocatedBytes());
    }

    /// <summary>The address space in bytes and the number of threads; 0 where the system does not say.</summary>
    private static (double Virtual, double Threads) Sizes()
    {
        var fields = Stat("/proc/self/stat");
        return fields.Length > 20 ? (Number(fields[20]), Number(fields[17])) : default;
    }

    /// <summary>The fields of a process's <c>stat</c> after its name, which may contain spaces: field n of proc(5) is at n - 3.</summary>
    private static string[] Stat(string path)
    {
        var text = Text(path);
        return text[(text.LastIndexOf(')') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    private static double Start()
    {
        var boot = Text("/proc/stat").Split('\n').FirstOrDefault(static line => line.StartsWith("btime ", StringComparison.Ordinal));
        var fields = Stat("/proc/self/stat");
        return boot is null || fields.Length < 20 ? 0 : Number(boot["btime ".Length..]) + (Number(fields[19]) / TicksPerSecond);
    }

    private static double MostDescriptors()
    {
        var line = Text("/proc/self/limits").Split('\n').FirstOrDefault(static line => line.StartsWith("Max open files", StringComparison.Ordinal));
        return line is null ? 0 : Number(line["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]);
    }

    private static double Descriptors()
    {
        try
        {
            return Directory.EnumerateFileSystemEntries("/proc/self/fd").Count() - 1; // without the one that reads the folder
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private static string Text(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static double Number(string text) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : 0;
}
