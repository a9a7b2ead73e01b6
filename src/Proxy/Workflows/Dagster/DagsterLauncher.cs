using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;

namespace Proxy.Workflows.Dagster;

/// <summary>
/// Starts runs of Dagster's jobs. The job must have a resource named <c>proxy</c> with a text <c>job</c>, which gets the document; the run has the call's id
/// as a tag, by which a launch that is repeated finds it. Events come over the bus, and the run's status is watched beside them.
/// </summary>
internal sealed class DagsterLauncher(ILogger log, TimeProvider time) : ILauncher, IDisposable
{
    /// <summary>Longest document in bytes. Dagster keeps every run's configuration in its database, and its web server answers with it.</summary>
    public const int LongestDocument = 1 << 20;

    public const string TraceTag = "proxy/trace_id";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly DagsterServer server = new(time);
    private readonly HashSet<string> probed = [];

    public string Name => "dagster";

    public string? Absent(PipelineConfig pipeline) => null; // what a server cannot do is known when it is asked

    public async ValueTask<IJobRun> LaunchAsync(Job job, CancellationToken cancellation)
    {
        // Not cancelled half-way: a run that the server has accepted would go on without anyone who knows it.
        var launch = StartAsync(job);
        try
        {
            return await launch.WaitAsync(cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            _ = GiveUpAsync(launch);
            throw;
        }
    }

    public void Dispose() => server.Dispose();

    private async Task<DagsterRun> StartAsync(Job job)
    {
        var pipeline = job.Pipeline;
        var url = pipeline.Url!;
        if (job.Document.Length > LongestDocument)
            throw new LaunchException(new ProxyError(ProxyErrorKind.BodyTooLarge,
                $"the job has {ByteSize.Text(job.Document.Length)}, and a run of Dagster's is given at most {ByteSize.Text(LongestDocument)}"));
        bool isKnown;
        lock (probed) isKnown = probed.Contains(url);
        if (!isKnown)
        {
            await DagsterSchema.ProbeAsync(server, url, Patience, CancellationToken.None).ConfigureAwait(false);
            lock (probed) probed.Add(url);
        }

        var run = await FindAsync(url, job.TraceId).ConfigureAwait(false) ?? await NewAsync(job).ConfigureAwait(false);
        return new DagsterRun(server, pipeline, run, job.TraceId, log, time);
    }

    private static async Task GiveUpAsync(Task<DagsterRun> launch)
    {
        try
        {
            var run = await launch.ConfigureAwait(false);
            await run.CancelAsync().ConfigureAwait(false);
            await run.DisposeAsync().ConfigureAwait(false);
        }
        catch (LaunchException)
        {
            // Nothing was launched.
        }
    }

    /// <summary>The run that an earlier launch for the same call has made; null if there is none.</summary>
    private async Task<string?> FindAsync(string url, string traceId)
    {
        var found = await server.AskAsync(url, DagsterServer.Question(DagsterSchema.Find, json =>
        {
            json.WriteStartArray("tags"u8);
            WriteTag(json, TraceTag, traceId);
            json.WriteEndArray();
        }), Patience, CancellationToken.None).ConfigureAwait(false);
        if (DagsterServer.Text(found, "__typename"u8) is not "Runs") throw DagsterServer.Refused(url, found);
        foreach (var run in DagsterServer.List(found, "results"u8)) return DagsterServer.Text(run, "runId"u8);
        return null;
    }

    private async Task<string> NewAsync(Job job)
    {
        var url = job.Pipeline.Url!;
        var place = await DagsterPlace.FindAsync(server, job.Pipeline, Patience, CancellationToken.None).ConfigureAwait(false);
        JsonElement answer;
        try
        {
            var question = DagsterServer.Question(DagsterSchema.Launch, json => WriteParams(json, job, place));
            var patience = job.Pipeline.LaunchTimeout > Patience ? job.Pipeline.LaunchTimeout : Patience;
            answer = await server.AskAsync(url, question, patience, CancellationToken.None).ConfigureAwait(false);
        }
        catch (LaunchException)
        {
            // The answer may have been lost after the run was made.
            if (await FoundAfterAllAsync(url, job.TraceId).ConfigureAwait(false) is { } run) return run;
            throw;
        }

        return DagsterServer.Text(DagsterServer.Part(answer, "run"u8), "runId"u8) ?? throw DagsterServer.Refused(url, answer);
    }

    private async Task<string?> FoundAfterAllAsync(string url, string traceId)
    {
        try
        {
            return await FindAsync(url, traceId).ConfigureAwait(false);
        }
        catch (LaunchException)
        {
            return null;
        }
    }

    private void WriteParams(Utf8JsonWriter json, Job job, DagsterPlace place)
    {
        json.WriteStartObject("params"u8);
        json.WriteStartObject("selector"u8);
        json.WriteString("repositoryLocationName"u8, place.Location);
        json.WriteString("repositoryName"u8, place.Repository);
        json.WriteString("jobName"u8, job.Pipeline.Job);
        json.WriteEndObject();
        json.WriteStartObject("runConfigData"u8);
        json.WriteStartObject("resources"u8);
        json.WriteStartObject("proxy"u8);
        json.WriteStartObject("config"u8);
        json.WriteString("job"u8, job.Document.Span);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartObject("executionMetadata"u8);
        json.WriteStartArray("tags"u8);
        WriteTag(json, TraceTag, job.TraceId);
        WriteTag(json, "proxy/pipeline", job.Pipeline.Name);
        if (DagsterServer.Text(WireJson.Parse(job.Document.Span), "correlation_id"u8) is { } correlation) WriteTag(json, "proxy/correlation_id", correlation);
        // Where Dagster's run monitoring is on, it ends a run that the proxy does not live to end.
        var seconds = Math.Max(1, (long)(job.Deadline - time.GetUtcNow()).TotalSeconds);
        WriteTag(json, "dagster/max_runtime", seconds.ToString(CultureInfo.InvariantCulture));
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteTag(Utf8JsonWriter json, string key, string value)
    {
        json.WriteStartObject();
        json.WriteString("key"u8, key);
        json.WriteString("value"u8, value);
        json.WriteEndObject();
    }
}
