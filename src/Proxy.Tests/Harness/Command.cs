using System.Diagnostics;

namespace Proxy.Tests.Harness;

/// <summary>Runs a program of the machine to its end.</summary>
internal static class Command
{
    /// <returns>The exit code, and the output of both streams.</returns>
    public static async Task<(int ExitCode, string Output)> TryAsync(string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }

    /// <returns>The output, without the end of the last line.</returns>
    public static async Task<string> RunAsync(string file, params string[] arguments)
    {
        var (exitCode, output) = await TryAsync(file, arguments);
        return exitCode == 0
            ? output.TrimEnd()
            : throw new InvalidOperationException($"{file} {string.Join(' ', arguments)} ended with {exitCode}:\n{output}");
    }
}
