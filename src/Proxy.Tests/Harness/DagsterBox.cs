using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Sdk;

namespace Proxy.Tests.Harness;

/// <summary>A real Dagster: its web server on a free port of the loopback, with a folder of its own. Starting it takes some seconds.</summary>
internal sealed class DagsterBox : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly string python;
    private readonly string home;
    private readonly string nats;
    private readonly string[] files;
    private readonly List<Process> processes = [];
    private readonly ConcurrentQueue<string> output = new();
    private readonly HttpClient http = new();

    private DagsterBox(string python, string nats, string[] files)
    {
        (this.python, this.nats, this.files) = (python, nats, files);
        home = Directory.CreateTempSubdirectory("proxy-dagster-").FullName;
        Port = ServerTree.FreePort();
    }

    public int Port { get; }

    public string Url => $"http://127.0.0.1:{Port}";

    /// <summary>What its processes wrote.</summary>
    public string Output => string.Join('\n', output);

    /// <summary>The files of the package for Dagster, and of the tests' own jobs.</summary>
    public static string Example => Path.Combine(Script.Root, "packaging", "dagster", "definitions.py");
    public static string Jobs => Path.Combine(Script.Root, "src", "Proxy.Tests", "Sdk", "dagster", "jobs.py");

    /// <param name="nats">The NATS server of its jobs.</param>
    /// <param name="isQueued">Runs wait for dagster-daemon, as they do unless Dagster is told otherwise.</param>
    /// <param name="files">The code locations, each named by its file.</param>
    public static async Task<DagsterBox> StartAsync(string nats, bool isQueued, params string[] files)
    {
        var box = new DagsterBox(await Script.DagsterFolderAsync(), nats, files);
        var coordinator = isQueued ? "" : "run_coordinator: { module: dagster.core.run_coordinator, class: DefaultRunCoordinator }";
        await File.WriteAllTextAsync(Path.Combine(box.home, "dagster.yaml"), $"telemetry: {{ enabled: false }}\n{coordinator}\n");
        try
        {
            box.Start("dagster-webserver", "-h", "127.0.0.1", "-p", $"{box.Port}");
            await box.AnswersAsync();
            return box;
        }
        catch
        {
            await box.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts dagster-daemon, which runs the sensors.</summary>
    public void StartDaemon() => Start("dagster-daemon", "run");

    /// <summary>The <c>data</c> of the answer to a GraphQL query.</summary>
    public async Task<JsonElement> AskAsync(string query)
    {
        using var content = new StringContent($$"""{"query":{{OpenAi.Quote(query.ReplaceLineEndings(" "))}}}""", Encoding.UTF8, "application/json");
        using var response = await http.PostAsync(new Uri(Url + "/graphql"), content);
        var text = await response.Content.ReadAsStringAsync();
        return JsonElement.Parse(text).TryGetProperty("data", out var data) && data.ValueKind is JsonValueKind.Object
            ? data : throw new InvalidOperationException($"Dagster answers {text}");
    }

    /// <summary>The runs for a call: their ids and states.</summary>
    public async Task<IReadOnlyList<(string Id, string Status)>> RunsAsync(string traceId)
    {
        var runs = (await AskAsync($$"""
            { runsOrError(filter: {tags: [{key: "proxy/trace_id", value: "{{traceId}}"}]}) { ... on Runs { results { runId status } } } }
            """)).GetProperty("runsOrError").GetProperty("results");
        return [.. runs.EnumerateArray().Select(static run => (run.GetProperty("runId").GetString()!, run.GetProperty("status").GetString()!))];
    }

    /// <summary>A tag of the call's only run.</summary>
    public async Task<string?> TagAsync(string traceId, string name)
    {
        var (id, _) = Assert.Single(await RunsAsync(traceId));
        var run = (await AskAsync($$"""{ runOrError(runId: "{{id}}") { ... on Run { tags { key value } } } }""")).GetProperty("runOrError");
        return run.GetProperty("tags").EnumerateArray().FirstOrDefault(tag => tag.GetProperty("key").GetString() == name).GetProperty("value").GetString();
    }

    /// <summary>The partitions of the asset <c>exchanges</c> that were materialised.</summary>
    public async Task<IReadOnlyList<string?>> PartitionsAsync()
    {
        var asset = (await AskAsync("""{ assetOrError(assetKey: {path: ["exchanges"]}) { ... on Asset { assetMaterializations { partition } } } }"""))
            .GetProperty("assetOrError");
        return asset.TryGetProperty("assetMaterializations", out var all)
            ? [.. all.EnumerateArray().Select(static one => one.GetProperty("partition").GetString())] : [];
    }

    /// <summary>Waits until the call's only run has the state.</summary>
    public Task StatusAsync(string traceId, string status) =>
        Patience.Until(async () => await RunsAsync(traceId) is [var run] && run.Status == status, $"the run is {status}");

    public async ValueTask DisposeAsync()
    {
        foreach (var process in processes)
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
            process.Dispose();
        }

        http.Dispose();
        Directory.Delete(home, recursive: true);
    }

    private void Start(string program, params string[] arguments)
    {
        string[] locations = [.. files.SelectMany(static file => new[] { "-f", file })];
        var start = new ProcessStartInfo(Path.Combine(python, "bin", program), [.. arguments, .. locations])
        {
            WorkingDirectory = home, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["DAGSTER_HOME"] = home;
        start.Environment["NATS_URL"] = nats;
        start.Environment["MODEL_A"] = "echo"; // the example's first branch asks the proxy
        start.Environment["PYTHONPATH"] = Path.GetDirectoryName(Example);
        start.Environment["PYTHONDONTWRITEBYTECODE"] = "1";
        foreach (var name in new[] { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy" }) start.Environment.Remove(name);
        var process = new Process { StartInfo = start };
        process.OutputDataReceived += (_, line) => output.Enqueue(line.Data ?? "");
        process.ErrorDataReceived += (_, line) => output.Enqueue(line.Data ?? "");
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        processes.Add(process);
    }

    private async Task AnswersAsync()
    {
        using var limit = new CancellationTokenSource(StartLimit);
        while (true)
        {
            if (processes[0].HasExited) throw new InvalidOperationException($"dagster-webserver ended at once:\n{Output}");
            try
            {
                if ((await http.GetAsync(new Uri(Url + "/server_info"), limit.Token)).IsSuccessStatusCode) return;
            }
            catch (HttpRequestException)
            {
                // It does not listen yet.
            }

            await Task.Delay(100, limit.Token);
        }
    }
}
