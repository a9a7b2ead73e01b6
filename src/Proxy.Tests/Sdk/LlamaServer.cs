using System.Diagnostics;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>A real llama.cpp engine with the tests' tiny model, behind OpenAI's dialect.</summary>
internal sealed class LlamaServer : IAsyncDisposable
{
    private readonly Process process;
    private int aborted;

    private LlamaServer(Process process) => this.process = process;

    public required Uri Address { get; init; }

    /// <summary>How often the engine was stopped because its client left.</summary>
    public int Aborted => Volatile.Read(ref aborted);

    public static async Task<LlamaServer> StartAsync()
    {
        var folder = await Script.NodeFolderAsync();
        var model = Path.Combine(Script.Root, "src", "Proxy.Tests", "Models", "tiny-bigram-fast.gguf");
        var process = new Process { StartInfo = new ProcessStartInfo("node", ["llama-server.mjs", model]) { WorkingDirectory = folder,
            RedirectStandardOutput = true } };
        var port = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        LlamaServer? server = null;
        process.OutputDataReceived += (_, line) =>
        {
            if (line.Data is not { Length: > 0 } text || text[0] != '{')
                return;
            using var said = JsonDocument.Parse(text);
            if (said.RootElement.TryGetProperty("port", out var number))
                port.TrySetResult(number.GetInt32());
            else if (server is not null && said.RootElement.TryGetProperty("aborted", out JsonElement _))
                Interlocked.Increment(ref server.aborted);
        };
        process.Start();
        process.BeginOutputReadLine();
        try
        {
            return server = new LlamaServer(process) { Address = new Uri($"http://127.0.0.1:{await Patience.For(port.Task, "the engine's port")}") };
        }
        catch
        {
            process.Kill();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill();
            await Patience.For(process.WaitForExitAsync(), "the engine's end");
        }

        process.Dispose();
    }
}
