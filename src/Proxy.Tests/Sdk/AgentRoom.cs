using System.Diagnostics;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>
/// A network with only a loopback interface, and in it a proxy in front of two hosts: one speaks only OpenAI's chat, the other only Ollama's.
/// </summary>
public sealed class AgentRoom : IAsyncLifetime
{
    /// <summary>The name of a model for which Codex uses a custom tool.</summary>
    internal const string Patcher = "gpt-5.5";

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);
    private readonly Dictionary<string, FakeBackend> hosts = [];
    private NetworkNamespace? network;
    private ProxyProcess? proxy;

    internal ProxyProcess Proxy => proxy!;

    internal NetworkNamespace Network => network!;

    /// <summary>The host that speaks this dialect; it serves the model <c>coder-DIALECT</c>.</summary>
    internal FakeBackend Host(string dialect) => hosts[dialect];

    public async ValueTask InitializeAsync()
    {
        if (!Machine.MakesNamespaces) return; // each test reports this itself

        network = await NetworkNamespace.MakeAsync();
        (hosts["openai"] = await FakeBackend.StartAsync(network)).Answer(AgentHost.OpenAiAsync);
        (hosts["ollama"] = await FakeBackend.StartAsync(network)).Answer(AgentHost.OllamaAsync);
        Host("ollama").Pages["/api/version"] = """{"version":"0.20.0"}""";
        Host("ollama").Questions["/api/show"] = """{"model_info":{"general.architecture":"qwen3","qwen3.context_length":131072},"capabilities":["completion","tools","thinking"]}""";
        Host("ollama").Pages.TryRemove("/v1/models", out _);
        proxy = await ProxyProcess.StartAsync(FrontDoor.Server() + $"""

            [log]
            format = "json"
            [aliases]
            "{Patcher}" = "coder-openai"
            """ + string.Concat(hosts.Select(host => $"""

            [[backends]]
            name = "{host.Key}"
            url = "{host.Value.Url}"
            dialects = ["{host.Key}"]
            models = ["coder-{host.Key}"]
            """)), network);
    }

    /// <summary>Runs an agent to its end, with a home folder and environment of its own.</summary>
    /// <param name="script">The agent's program for node, relative to the packages' folder.</param>
    internal async Task<(int ExitCode, string Output, string Errors)> RunAsync(string home, string script, IReadOnlyDictionary<string, string> environment,
        params string[] arguments)
    {
        var packages = await Script.AgentsFolderAsync();
        var start = Network.Within("node", [Path.Combine(packages, "node_modules", script), .. arguments]);
        (start.RedirectStandardInput, start.RedirectStandardOutput, start.RedirectStandardError) = (true, true, true);
        start.WorkingDirectory = Directory.CreateDirectory(Path.Combine(home, "work")).FullName;
        var path = Environment.GetEnvironmentVariable("PATH");
        start.Environment.Clear();
        start.Environment["PATH"] = path;
        start.Environment["HOME"] = home;
        foreach (var (name, value) in environment)
            start.Environment[name] = value;

        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        try
        {
            var output = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            await Patience.For(process.WaitForExitAsync(), $"the end of {script}", Limit);
            return (process.ExitCode, await output, await errors);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null)
            await proxy.DisposeAsync();
        foreach (var host in hosts.Values)
            await host.DisposeAsync();
        network?.Dispose();
    }
}
