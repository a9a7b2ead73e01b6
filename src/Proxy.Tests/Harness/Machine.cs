using System.Diagnostics;

namespace Proxy.Tests.Harness;

/// <summary>
/// The capabilities of this machine, each checked once per run. A test that needs a missing one is skipped, with one line that says what is missing and what to
/// do.
/// </summary>
internal static class Machine
{
    private static readonly Lazy<bool> Namespaces = new(static () => Environment.IsPrivilegedProcess && Succeeds("unshare", "--net", "--mount", "true"));

    /// <summary>Whether network and mount namespaces can be made, which root in a container often may not.</summary>
    public static bool MakesNamespaces => Namespaces.Value;

    public static void NeedsNamespaces()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "needs root, for networks and systems of its own: run ./build.sh test as root");
        Assert.SkipUnless(MakesNamespaces, "needs the right to make namespaces (CAP_SYS_ADMIN): run on a machine, or in a container that has it");
    }

    private static bool Succeeds(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            return process.WaitForExit(TimeSpan.FromSeconds(10)) && process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
