using System.Text;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;
using Proxy.Telemetry;

namespace Proxy.Http;

/// <summary>Another server that the proxy uses: its name in <c>/ready</c>, whether it can be used now, and why not.</summary>
internal sealed record ReadyDetail(string Name, bool IsUp, string? Reason);

/// <summary>Liveness, readiness and metrics. The first two are open to every caller; a caller without a key on another machine gets no details.</summary>
/// <param name="loaded">Say whether the models that the file configures for this process are loaded; null: it configures none.</param>
/// <param name="more">What the details report besides the backends.</param>
internal sealed class StatusEndpoints(
    BackendDirectory directory, ActiveCalls calls, ProxyMetrics metrics, ApiKeyGate gate, IReadOnlyList<Func<bool?>> loaded,
    IReadOnlyList<Func<ReadyDetail>> more)
{
    /// <summary>Each says what the process cannot do at present; null: nothing. The details of <c>/ready</c> list it.</summary>
    public IReadOnlyList<Func<string?>> Degraded { get; init; } = [];

    /// <summary>Answers with the text of Ollama's own server, which its clients look for.</summary>
    public static Task RootAsync(HttpContext context) => TextAsync(context, "Ollama is running", "text/plain; charset=utf-8");

    /// <summary>Answers with Ollama's version, for its clients. The header identifies this proxy to other proxies.</summary>
    public Task VersionAsync(HttpContext context)
    {
        context.Response.Headers[ProxyIdentity.Header] = directory.Identity.Id;
        return TextAsync(context, OllamaListing.Version, "application/json; charset=utf-8");
    }

    /// <summary>Liveness: the process answers.</summary>
    public static Task HealthAsync(HttpContext context) => TextAsync(context, """{"status":"ok"}""", "application/json");

    /// <summary>
    /// Readiness: something real can answer calls. That is a host that is up, another proxy that is up and lists a model which it does not get from us, a model
    /// of this process, or the echo backend if only that is configured. Models that are configured to run in this process must be loaded.
    /// </summary>
    public Task ReadyAsync(HttpContext context)
    {
        var all = directory.Table.All;
        bool?[] said = [.. loaded.Select(static check => check())];
        var ready = !calls.Draining && !said.Contains(false) && (said.Contains(true) || all.All(static b => b.IsEcho) || all.Any(Answers));
        context.Response.StatusCode = ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return TextAsync(context,
            gate.Trust(context) is null ? Details(ready, all) : ready ? """{"status":"ready"}""" : """{"status":"not ready"}""", "application/json");
    }

    public Task MetricsAsync(HttpContext context)
    {
        if (gate.Trust(context) is not { } refusal) return TextAsync(context, metrics.Expose(), "text/plain; version=0.0.4; charset=utf-8");
        context.Response.StatusCode = refusal.Status;
        if (refusal.Kind is ProxyErrorKind.Unauthenticated) context.Response.Headers.WWWAuthenticate = "Bearer";
        return TextAsync(context, refusal.Message + "\n", "text/plain; charset=utf-8");
    }

    /// <summary>
    /// Whether a backend can answer calls. A proxy answers with its hosts or with models of its own process, not if it lists no model or only its echo.
    /// </summary>
    private static bool Answers(Backend backend) => !backend.IsEcho && backend.State is { Available: true, Health: BackendHealth.Up }
        && (!backend.IsProxy || backend.State.Report!.Models.Any(static model => model.Told is not { End: ModelEnd.Echo }));

    private string Details(bool ready, IReadOnlyList<Backend> all)
    {
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(output))
        {
            json.WriteStartObject();
            json.WriteString("status", ready ? "ready" : calls.Draining ? "draining" : "not ready");
            json.WriteStartArray("backends");
            foreach (var backend in all)
            {
                json.WriteStartObject();
                json.WriteString("name", backend.Name);
                json.WriteString("health", Health(backend));
                if (backend.State.Reason is { } reason) json.WriteString("reason", reason);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            string[] degraded = [.. Degraded.Select(static check => check()).OfType<string>()];
            if (degraded.Length > 0)
            {
                json.WriteStartArray("degraded");
                foreach (var one in degraded) json.WriteStringValue(one);
                json.WriteEndArray();
            }

            foreach (var read in more)
            {
                var (name, isUp, reason) = read();
                json.WriteStartObject(name);
                json.WriteString("health", isUp ? "up" : "down");
                if (!isUp && reason is not null) json.WriteString("reason", reason);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>up, down or unknown; failing if the host is up but its circuit breaker is open.</summary>
    public static string Health(Backend backend) => backend.IsEcho ? "up"
        : backend.State.Health is BackendHealth.Down ? "down"
        : backend.State.Breaker is BreakerState.Open ? "failing"
        : backend.State.Health is BackendHealth.Up ? "up" : "unknown";

    private static Task TextAsync(HttpContext context, string text, string contentType)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        context.Response.ContentType = contentType;
        context.Response.ContentLength = bytes.Length;
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : context.Response.BodyWriter.WriteAsync(bytes).AsTask();
    }
}
