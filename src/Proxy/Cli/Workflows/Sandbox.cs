using System.Text;

namespace Proxy.Cli.Workflows;

/// <summary>
/// What the packaged unit does to programs that the proxy starts: they inherit its sandbox, in which /home is empty and no memory can be made executable.
/// </summary>
internal static class Sandbox
{
    private static readonly string[] Hidden = ["/home/", "/root/", "/run/user/"];

    /// <summary>Programs that compile code while they run, and end at once where they may not.</summary>
    private static readonly string[] Compilers = ["node", "nodejs", "deno", "bun", "npx", "tsx", "java", "dotnet", "pwsh", "luajit", "pypy3"];

    /// <summary>Why a program cannot run there; null: nothing speaks against it.</summary>
    public static string? Problem(IReadOnlyList<string> command)
    {
        var program = command[0];
        if (Array.Exists(Hidden, folder => program.StartsWith(folder, StringComparison.Ordinal)))
            return $"{program} is in a folder that the proxy's systemd unit hides";
        string[] words = command.Count > 1 && program.EndsWith("/env", StringComparison.Ordinal) ? [command[1]] : [program, .. Interpreter(program)];
        return Array.Find(words, static word => Array.IndexOf(Compilers, Path.GetFileName(word)) >= 0) is { } compiler
            ? $"{Path.GetFileName(compiler)} compiles code while it runs, which the proxy's systemd unit forbids (MemoryDenyWriteExecute)"
            : null;
    }

    /// <summary>The words of a script's first line; none if it is no script or cannot be read.</summary>
    private static string[] Interpreter(string program)
    {
        Span<byte> start = stackalloc byte[256];
        try
        {
            using var file = File.OpenHandle(program);
            start = start[..RandomAccess.Read(file, start, 0)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }

        if (!start.StartsWith("#!"u8)) return [];
        var end = start.IndexOf((byte)'\n');
        return Encoding.UTF8.GetString(end < 0 ? start[2..] : start[2..end]).Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }
}
