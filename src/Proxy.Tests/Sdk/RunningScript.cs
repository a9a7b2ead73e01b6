using System.Diagnostics;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>A script that runs until it is disposed, which kills it.</summary>
internal sealed class RunningScript : IAsyncDisposable
{
    private readonly StringBuilder output = new();
    private readonly Process process;

    public RunningScript(string folder, string program, IReadOnlyList<string> arguments, IReadOnlyList<(string Name, string Value)> environment)
    {
        process = new Process();
        process.StartInfo = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment) process.StartInfo.Environment[name] = value;
        foreach (var name in new[] { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy" })
            process.StartInfo.Environment.Remove(name);
        process.OutputDataReceived += Add;
        process.ErrorDataReceived += Add;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>What it wrote so far.</summary>
    public string Output
    {
        get
        {
            lock (output) return output.ToString();
        }
    }

    public async ValueTask DisposeAsync()
    {
        process.Kill(entireProcessTree: true);
        await Patience.For(process.WaitForExitAsync(), "the end of a script");
        process.Dispose();
    }

    private void Add(object sender, DataReceivedEventArgs line)
    {
        lock (output) output.AppendLine(line.Data);
    }
}
