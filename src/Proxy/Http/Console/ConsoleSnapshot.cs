using System.Buffers;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;
using Proxy.Telemetry;

namespace Proxy.Http.Console;

/// <summary>
/// Writes what the console shows as one JSON object: the process, its hosts and their models, the calls in flight, the calls that finished, workspaces and
/// pipelines. It has names, counts and times, and never a text of a prompt or an answer.
/// </summary>
internal sealed class ConsoleSnapshot(BackendDirectory directory, ExchangeParts parts, RecentCalls recent, WorkspaceProgress workspaces, string version)
{
    /// <summary>The models of a host, and the calls in flight, that are written at most; the counts say how many there are.</summary>
    private const int MostModels = 100, MostCalls = 500;

    private readonly TimeProvider time = parts.Time;
    private readonly DateTimeOffset started = parts.Time.GetUtcNow();

    /// <summary>Each says what the process cannot do at present; null: nothing.</summary>
    public IReadOnlyList<Func<string?>> Degraded { get; init; } = [];

    /// <summary>The other servers that the proxy uses.</summary>
    public IReadOnlyList<Func<ReadyDetail>> Details { get; init; } = [];

    /// <summary>Writes the state.</summary>
    /// <param name="output">Gets the JSON.</param>
    /// <param name="after">Of the finished calls, only those whose number is larger are written.</param>
    /// <returns>The number of the last finished call, for the next time.</returns>
    public async ValueTask<long> WriteAsync(IBufferWriter<byte> output, long after)
    {
        await workspaces.RefreshAsync();
        var table = directory.Table;
        var running = parts.Calls.Snapshot();
        var now = time.GetTimestamp();
        using var json = new Utf8JsonWriter(output);
        json.WriteStartObject();
        json.WriteString("version", version);
        json.WriteString("id", directory.Identity.Id);
        json.WriteString("time", time.GetUtcNow());
        json.WriteNumber("uptime_s", (long)(time.GetUtcNow() - started).TotalSeconds);
        json.WriteBoolean("draining", parts.Calls.Draining);
        json.WriteBoolean("keys", table.Config.Auth.Keys.Count > 0);
        json.WriteBoolean("resumes_all", table.Config.Streams.Resume == "all");
        json.WriteStartArray("degraded");
        foreach (var said in Degraded.Select(static check => check()).OfType<string>()) json.WriteStringValue(said);
        json.WriteEndArray();
        json.WriteStartArray("servers");
        foreach (var (name, isUp, reason) in Details.Select(static read => read()))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteBoolean("up", isUp);
            Known(json, "reason", isUp ? null : reason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        WriteHosts(json, table, running);
        WriteRunning(json, running, now);
        var last = WriteFinished(json, after);
        WriteWorkspaces(json);
        WritePipelines(json, table.Config.Pipelines, running);
        json.WriteEndObject();
        return last;
    }

    private static void WriteHosts(Utf8JsonWriter json, BackendTable table, IReadOnlyList<CallScope> running)
    {
        json.WriteStartArray("hosts");
        foreach (var backend in table.All)
        {
            var (state, report) = (backend.State, backend.State.Report);
            json.WriteStartObject();
            json.WriteString("name", backend.Name);
            json.WriteString("url", WithoutCredentials(backend.Config.Url));
            Known(json, "kind", report?.Kind);
            Known(json, "version", report?.Version);
            json.WriteString("health", StatusEndpoints.Health(backend));
            json.WriteString("breaker", state.Breaker switch
            {
                BreakerState.Open => "open",
                BreakerState.HalfOpen => "half open",
                _ => "closed",
            });
            json.WriteBoolean("avoided", state.IsAvoided);
            Known(json, "reason", state.Reason);
            if ((backend.Slots ?? report?.Slots) is { } slots) json.WriteNumber("slots", slots);
            json.WriteNumber("in_use", state.InFlight);
            json.WriteNumber("waiting", running.Count(call => call.Info.Times.WaitsSince != 0 && Serves(table, call, backend)));
            json.WriteStartArray("dialects");
            foreach (var name in backend.FamilyNames) json.WriteStringValue(name);
            json.WriteEndArray();
            WriteModels(json, backend);
            json.WriteEndObject();
        }

        if (table.Embedders.Models is { Count: > 0 } models)
        {
            json.WriteStartObject();
            json.WriteString("name", "(this process)");
            json.WriteString("kind", "ONNX Runtime");
            json.WriteString("health", "up");
            json.WriteString("breaker", "closed");
            json.WriteStartArray("models");
            foreach (var model in models)
            {
                json.WriteStartObject();
                json.WriteString("name", model.Info.Name);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteModels(Utf8JsonWriter json, Backend backend)
    {
        var reported = backend.State.Report?.Models ?? [];
        var configured = backend.Config.Models.Where(name => !reported.Any(model => ModelName.Same(model.Name, name))).ToList();
        json.WriteNumber("model_count", reported.Count + configured.Count);
        json.WriteStartArray("models");
        foreach (var model in reported.OrderByDescending(static model => model.Loaded is true).Take(MostModels))
        {
            json.WriteStartObject();
            json.WriteString("name", model.Name);
            if (model.Loaded is { } loaded) json.WriteBoolean("loaded", loaded);
            if (model.ContextLength is { } context) json.WriteNumber("context", context);
            json.WriteEndObject();
        }

        foreach (var name in configured.Take(MostModels))
        {
            json.WriteStartObject();
            json.WriteString("name", name);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Whether a call that waits may get a slot of the backend.</summary>
    private static bool Serves(BackendTable table, CallScope call, Backend backend) =>
        call.Record.Model is { } model && table.Resolve(model)?.Candidates.Contains(backend) is true;

    private void WriteRunning(Utf8JsonWriter json, IReadOnlyList<CallScope> running, long now)
    {
        json.WriteNumber("call_count", running.Count);
        json.WriteStartArray("calls");
        var lines = new Dictionary<string, int>();
        // Each model has a line of its own, and the calls get their places in it in the order in which they began to wait.
        foreach (var call in running.OrderBy(static call => call.Info.Times.WaitsSince).Take(MostCalls))
        {
            var (record, times) = (call.Record, call.Info.Times);
            json.WriteStartObject();
            WriteNames(json, record);
            json.WriteNumber("age_ms", Milliseconds(now - record.Started));
            var since = times.WaitsSince;
            if (since != 0)
            {
                var line = record.Model ?? "";
                lines[line] = lines.GetValueOrDefault(line) + 1;
                json.WriteNumber("place", lines[line]);
            }

            var content = times.Content != 0 ? times.Content : record.FirstToken;
            json.WriteString("stage", since != 0 ? "queued" : content != 0 ? "answering" : times.Sent != 0 ? "waiting" : "starting");
            if (content != 0)
            {
                json.WriteNumber("first_token_ms", Milliseconds(content - record.Started));
                json.WriteNumber("answering_ms", Milliseconds(now - content));
            }

            if (times.Frames is { } frames) json.WriteNumber("frames", frames.Number);
            if (times.Failed is { } failed) json.WriteNumber("failed_attempts", failed.Number);
            var followed = call.Journal is { Origin.Resumable: true, IsReadable: true } journal ? journal.Origin.TraceId : null;
            Known(json, "follow", followed);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private long WriteFinished(Utf8JsonWriter json, long after)
    {
        json.WriteStartArray("finished");
        foreach (var (number, record, duration, ended) in recent.After(after))
        {
            after = number;
            json.WriteStartObject();
            json.WriteNumber("number", number);
            WriteNames(json, record);
            json.WriteString("ended", ended);
            json.WriteNumber("status", record.Status);
            json.WriteString("outcome", CallLedger.Name(record.Outcome));
            Known(json, "error", record.Error);
            json.WriteNumber("duration_ms", duration.TotalMilliseconds);
            if (record.Waited is { } waited) json.WriteNumber("queue_ms", Milliseconds(waited));
            if (record.Connecting is { } connecting) json.WriteNumber("connect_ms", Milliseconds(connecting));
            if (record.FirstToken != 0) json.WriteNumber("first_token_ms", Milliseconds(record.FirstToken - record.Started));
            if (record.Generating is { } generating) json.WriteNumber("generating_ms", Milliseconds(generating));
            if (record.TokensIn is { } input) json.WriteNumber("tokens_in", input);
            if (record.TokensOut is { } output) json.WriteNumber("tokens_out", output);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("last", after);
        return after;
    }

    private static void WriteNames(Utf8JsonWriter json, CallRecord record)
    {
        json.WriteString("trace_id", record.TraceId);
        Known(json, "key", record.Key);
        json.WriteString("surface", record.Surface);
        Known(json, "model", record.Model);
        Known(json, "served", record.Served);
        Known(json, "backend", record.Backend);
        Known(json, "route", record.Route);
        Known(json, "workspace", record.Workspace);
        Known(json, "pipeline", record.Pipeline);
        Known(json, "session", record.Session);
        Known(json, "joined", record.Joined);
        json.WriteBoolean("stream", record.Stream);
    }

    private void WriteWorkspaces(Utf8JsonWriter json)
    {
        json.WriteStartObject("knowledge");
        Known(json, "problem", workspaces.Problem);
        json.WriteNumber("count", workspaces.Count);
        if (workspaces.Done is var (files, failed, chunks))
        {
            json.WriteNumber("files_read", files);
            json.WriteNumber("files_failed", failed);
            json.WriteNumber("chunks_stored", chunks);
        }

        json.WriteStartArray("workspaces");
        foreach (var (workspace, counts) in workspaces.Rows ?? [])
        {
            json.WriteStartObject();
            json.WriteString("id", workspace.Id);
            json.WriteString("name", workspace.Name);
            json.WriteString("owner", workspace.Owner);
            Known(json, "description", workspace.Description);
            json.WriteNumber("in_progress", counts.InProgress);
            json.WriteNumber("completed", counts.Completed);
            json.WriteNumber("failed", counts.Failed);
            json.WriteNumber("cancelled", counts.Cancelled);
            json.WriteNumber("chunks", workspace.Chunks);
            json.WriteNumber("bytes", workspace.UsageBytes);
            json.WriteString("active", workspace.LastActiveAt);
            if (workspace.ExpiresAt is { } expires) json.WriteString("expires", expires);
            json.WriteStartArray("embedders");
            foreach (var set in workspace.Vectors) json.WriteStringValue(set.Model);
            json.WriteEndArray();
            json.WriteBoolean("reembeds", workspace.Building.Count > 0);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WritePipelines(Utf8JsonWriter json, IReadOnlyList<PipelineConfig> pipelines, IReadOnlyList<CallScope> running)
    {
        json.WriteStartArray("pipelines");
        foreach (var pipeline in pipelines)
        {
            json.WriteStartObject();
            json.WriteString("name", pipeline.Name);
            json.WriteString("launcher", pipeline.Launcher);
            Known(json, "runs", pipeline.Command is [var program, ..] ? program : pipeline.Unit ?? pipeline.Job);
            json.WriteString("present", pipeline.Present);
            json.WriteNumber("timeout_s", pipeline.Timeout.TotalSeconds);
            json.WriteNumber("running", running.Count(call => Runs(call.Record, pipeline.Name)));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static bool Runs(CallRecord call, string pipeline) => call.Pipeline == pipeline || call.Model == ModelName.PipelinePrefix + pipeline;

    private double Milliseconds(long units) => Math.Round(time.GetElapsedTime(0, Math.Max(units, 0)).TotalMilliseconds, 1);

    private static string WithoutCredentials(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var parsed) && parsed.UserInfo.Length > 0
            ? url.Replace(parsed.UserInfo + "@", "", StringComparison.Ordinal) : url;

    private static void Known(Utf8JsonWriter json, string name, string? value)
    {
        if (value is not null) json.WriteString(name, value);
    }
}
