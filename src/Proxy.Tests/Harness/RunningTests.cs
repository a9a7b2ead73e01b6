using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using Proxy.Tests.Harness;
using Xunit.v3;

[assembly: RunningTests]

namespace Proxy.Tests.Harness;

/// <summary>Tracks which tests are running, and prints them when the run is interrupted (by <c>build.sh</c> at its time limit, or by Ctrl-C).</summary>
[AttributeUsage(AttributeTargets.Assembly)]
internal sealed class RunningTestsAttribute : BeforeAfterTestAttribute
{
    private static readonly ConcurrentDictionary<string, (string Name, long Since)> Running = new();
    private static readonly PosixSignalRegistration Interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, static _ => Say(Console.Error));

    public override void Before(MethodInfo methodUnderTest, IXunitTest test)
    {
        GC.KeepAlive(Interrupted);
        Running[test.UniqueID] = (test.TestDisplayName, Stopwatch.GetTimestamp());
    }

    public override void After(MethodInfo methodUnderTest, IXunitTest test) => Running.TryRemove(test.UniqueID, out _);

    /// <summary>Writes the running tests, the longest running first.</summary>
    internal static void Say(TextWriter output)
    {
        var running = Running.Values.OrderBy(static test => test.Since).ToArray();
        output.WriteLine(running.Length == 0 ? "interrupted between two tests" : "interrupted; still running:");
        foreach (var (name, since) in running) output.WriteLine($"  {Stopwatch.GetElapsedTime(since):h\\:mm\\:ss}  {name}");
    }
}
