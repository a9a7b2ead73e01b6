using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Telemetry;

namespace Proxy.Http;

/// <summary>The operator's endpoints on a unix socket of their own. The proxy's command line uses them to talk to a running proxy.</summary>
internal sealed class AdminEndpoints(BackendDirectory directory, ModelCatalog catalog, ActiveCalls calls, Func<ReloadOutcome> reload, string? file,
    Action drain, TimeProvider time)
{
    /// <summary>The rows that features add. A path that ends in a slash stands for all paths below it.</summary>
    public List<EndpointRow> More { get; } = [];

    public Task HandleAsync(HttpContext context, string method, string path) => (method, path) switch
    {
        ("GET", "/models") => ModelsAsync(context),
        ("POST", "/reload") => ReloadAsync(context),
        ("POST", "/drain") => DrainAsync(context),
        ("GET", "/calls") => CallsAsync(context),
        _ when Row(method, path) is { } row => row.Answer(context),
        _ => WriteAsync(context, StatusCodes.Status404NotFound, json => json.WriteString("error", "the admin socket serves GET /models, GET /calls, "
            + string.Concat(More.Where(static row => row.Method is not "*").Select(static row => $"{row.Method} {row.Paths[0]}, "))
            + "POST /reload and POST /drain")),
    };

    private EndpointRow? Row(string method, string path) => More.Find(row => (row.Method == method || row.Method is "*")
        && row.Paths.Any(each => each == path || (each[^1] == '/' && path.StartsWith(each, StringComparison.Ordinal))));

    private async Task ModelsAsync(HttpContext context)
    {
        var models = await catalog.ListAsync(static _ => true, await catalog.PairsOf(null), evenDown: true);
        var table = directory.Table;
        await WriteAsync(context, StatusCodes.Status200OK, json =>
        {
            json.WriteStartArray("models");
            foreach (var model in models)
            {
                if (table.Resolve(model.Model) is not { } resolution) continue;
                if (resolution.InProcess is not null) WriteInProcess(json, model);
                foreach (var backend in resolution.Candidates)
                {
                    var served = resolution.Served;
                    var learned = backend.Learned(served);
                    json.WriteStartObject();
                    json.WriteString("model", model.Name);
                    if (model.Resolved is { } resolved) json.WriteString("resolved", resolved);
                    json.WriteString("backend", backend.Name);
                    if ((learned?.ContextLength ?? model.ContextLength) is { } context) json.WriteNumber("context_length", context);
                    if ((learned?.ContextLimit ?? model.ContextLimit) is { } limit) json.WriteNumber("context_limit", limit);
                    WriteWords(json, "capabilities", model.Capabilities);
                    if (learned?.Loaded is { } loaded) json.WriteBoolean("loaded", loaded);
                    if ((backend.Slots ?? backend.State.Report?.Slots) is { } slots) json.WriteNumber("slots", slots);
                    json.WriteNumber("in_use", backend.State.InFlight);
                    json.WriteString("health", StatusEndpoints.Health(backend));
                    if (backend.State.Reason is { } reason) json.WriteString("reason", reason);
                    json.WriteStartArray("dialects");
                    foreach (var family in backend.Families) json.WriteStringValue(DialectNames.Name(family));
                    json.WriteEndArray();
                    if (backend.State.Report is { Kind: { } kind } report) json.WriteString("host", report.Version is { } version ? $"{kind} {version}" : kind);
                    json.WriteEndObject();
                }
            }

            json.WriteEndArray();
            WriteOverruled(json, table.Overruled());
        });
    }

    /// <summary>Writes nothing if there are none.</summary>
    private static void WriteOverruled(Utf8JsonWriter json, IReadOnlyList<OverruledPrefix> overruled)
    {
        if (overruled.Count == 0) return;
        json.WriteStartArray("overruled");
        foreach (var one in overruled)
        {
            json.WriteStartObject();
            json.WriteString("prefix", one.Prefix);
            json.WriteString("backend", one.Backend);
            json.WriteString("by", one.By);
            WriteWords(json, "models", one.Models);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>Writes a model of this process: it has no host and no slots, and it is up while the process runs.</summary>
    private static void WriteInProcess(Utf8JsonWriter json, ModelListing model)
    {
        json.WriteStartObject();
        json.WriteString("model", model.Name);
        if (model.Resolved is { } resolved) json.WriteString("resolved", resolved);
        json.WriteString("backend", "(this proxy)");
        if (model.ContextLength is { } context) json.WriteNumber("context_length", context);
        WriteWords(json, "capabilities", model.Capabilities);
        json.WriteString("health", "up");
        json.WriteStartArray("dialects");
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteWords(Utf8JsonWriter json, string name, IReadOnlyList<string> words)
    {
        if (words.Count == 0) return;
        json.WriteStartArray(name);
        foreach (var word in words) json.WriteStringValue(word);
        json.WriteEndArray();
    }

    private Task ReloadAsync(HttpContext context)
    {
        var (problems, needsRestart) = reload();
        return WriteAsync(context, StatusCodes.Status200OK, json =>
        {
            json.WriteBoolean("ok", problems.Count == 0);
            if (file is not null) json.WriteString("file", file);
            json.WriteStartArray("problems");
            foreach (var problem in problems)
            {
                json.WriteStartObject();
                json.WriteString("key", problem.Key);
                json.WriteNumber("line", problem.Line);
                json.WriteString("message", problem.Message);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            WriteWords(json, "needs_restart", needsRestart);
        });
    }

    private Task DrainAsync(HttpContext context)
    {
        drain();
        return WriteAsync(context, StatusCodes.Status202Accepted, json => json.WriteNumber("running", calls.Count));
    }

    private Task CallsAsync(HttpContext context) => WriteAsync(context, StatusCodes.Status200OK, json =>
    {
        json.WriteStartArray("calls");
        foreach (var call in calls.Snapshot())
        {
            json.WriteStartObject();
            WriteCall(json, call.Record);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });

    private void WriteCall(Utf8JsonWriter json, CallRecord call)
    {
        json.WriteString("trace_id", call.TraceId);
        json.WriteString("correlation_id", call.CorrelationId);
        Known("session", call.Session);
        Known("key", call.Key);
        json.WriteString("surface", call.Surface);
        Known("model", call.Model);
        Known("served", call.Served);
        Known("backend", call.Backend);
        json.WriteBoolean("stream", call.Stream);
        json.WriteBoolean("answering", call.FirstToken != 0);
        json.WriteNumber("running_ms", (long)time.GetElapsedTime(call.Started).TotalMilliseconds);

        void Known(string name, string? value)
        {
            if (value is not null) json.WriteString(name, value);
        }
    }

    private static async Task WriteAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter);
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
    }
}
