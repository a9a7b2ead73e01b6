using System.Text;
using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;
using Proxy.Telemetry;

namespace Proxy.Http;

/// <summary>Is it alive, is it ready, how is it doing. The first two are open to everybody and say no more than that to strangers.</summary>
/// <param name="loaded">Whether what the file says runs in this process is loaded; null where the file says nothing of it.</param>
internal sealed class StatusEndpoints(BackendDirectory directory, ActiveCalls calls, ProxyMetrics metrics, ApiKeyGate gate, IReadOnlyList<Func<bool?>> loaded)
{
    /// <summary>What Ollama's own server says here; its clients look for it.</summary>
    public static Task RootAsync(HttpContext context) => TextAsync(context, "Ollama is running", "text/plain; charset=utf-8");

    /// <summary>Ollama's version, for its clients, and for another proxy who this is.</summary>
    public Task VersionAsync(HttpContext context)
    {
        context.Response.Headers[ProxyIdentity.Header] = directory.Identity.Id;
        return TextAsync(context, OllamaListing.Version, "application/json; charset=utf-8");
    }

    /// <summary>The process answers.</summary>
    public static Task HealthAsync(HttpContext context) => TextAsync(context, """{"status":"ok"}""", "application/json");

    /// <summary>Something real can answer: a host that is up, another proxy that is up and has a model which we do not have from elsewhere or from ourselves, a model of this process, or the echo where it is all there is. What is configured to run here must be loaded.</summary>
    public Task ReadyAsync(HttpContext context)
    {
        var all = directory.Table.All;
        bool?[] said = [.. loaded.Select(static check => check())];
        var ready = !calls.Draining && !said.Contains(false) && (said.Contains(true) || all.All(static b => b.IsEcho) || all.Any(Answers));
        context.Response.StatusCode = ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return TextAsync(context, gate.Trust(context) is null ? Details(ready, all) : ready ? """{"status":"ready"}""" : """{"status":"not ready"}""", "application/json");
    }

    public Task MetricsAsync(HttpContext context)
    {
        if (gate.Trust(context) is not { } refusal) return TextAsync(context, metrics.Expose(), "text/plain; version=0.0.4; charset=utf-8");
        context.Response.StatusCode = refusal.Status;
        if (refusal.Kind is ProxyErrorKind.Unauthenticated) context.Response.Headers.WWWAuthenticate = "Bearer";
        return TextAsync(context, refusal.Message + "\n", "text/plain; charset=utf-8");
    }

    /// <summary>A proxy answers by its hosts, or by what runs in it; one that has nothing to tell us of, or its echo alone, does not.</summary>
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
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>up, down, unknown; failing where it is there but its breaker is open.</summary>
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
