using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Http.Console;

/// <summary>
/// The operator's console: its pages at <c>/console</c>, and below <c>/console/api</c> what they show. To act, the pages use the endpoints that clients use. A
/// request for the console is no call: it has no line in the log and does not hold up a shutdown.
/// </summary>
/// <param name="snapshot">Writes what the pages show.</param>
/// <param name="isOn">Whether the running configuration has the console on.</param>
/// <param name="errors">Refuses what there is not.</param>
/// <param name="parts">What every exchange is made of.</param>
internal sealed class ConsoleEndpoints(ConsoleSnapshot snapshot, Func<bool> isOn, ErrorEndpoints errors, ExchangeParts parts)
{
    private const string Root = "/console";

    /// <summary>The time between two states of a stream.</summary>
    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(1);

    private readonly ConsoleFiles files = new();
    private CancellationToken ending;

    public IReadOnlyList<EndpointRow> Rows =>
    [
        new("GET", [Root], context => FileAsync(context, ConsoleFiles.Page)),
        new("GET", [Root + "/"], context => FileAsync(context, context.Request.Path.Value![(Root.Length + 1)..])),
        new("GET", [Root + "/api/state"], context => GuardAsync(context, StateAsync)),
        new("GET", [Root + "/api/events"], context => GuardAsync(context, EventsAsync)),
    ];

    /// <summary>Ends the streams of open pages when the token is cancelled: a process that stops need not wait for them.</summary>
    public Task RunAsync(CancellationToken cancellation)
    {
        ending = cancellation;
        return Task.CompletedTask;
    }

    private async Task FileAsync(HttpContext context, string name)
    {
        if (!isOn())
        {
            await errors.UnknownPathAsync(context);
            return;
        }

        if (parts.Gate.AdmitPage(context) is { } refusal)
        {
            await RefusePageAsync(context, refusal);
            return;
        }

        if (!await files.TrySendAsync(context, name.Length == 0 ? ConsoleFiles.Page : name)) await errors.UnknownPathAsync(context);
    }

    private Task GuardAsync(HttpContext context, Func<HttpContext, Task> answer)
    {
        if (!isOn()) return errors.UnknownPathAsync(context);
        ConsoleFiles.Protect(context.Response);
        context.Response.Headers.CacheControl = "no-store";
        return parts.Gate.AdmitOperator(context) is { } refusal ? RefuseAsync(context, refusal) : answer(context);
    }

    /// <summary>One state as JSON.</summary>
    private async Task StateAsync(HttpContext context)
    {
        using var body = new PooledBody(16 << 10);
        await snapshot.WriteAsync(body, AfterOf(context));
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.BodyWriter.WriteAsync(body.Memory);
    }

    /// <summary>
    /// A state each second as server-sent events, until the page is closed or the process drains. Each has the calls that finished since the last one.
    /// </summary>
    private async Task EventsAsync(HttpContext context)
    {
        var after = AfterOf(context);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, ending);
        StreamHeaders.Set(context.Response, "text/event-stream");
        using var body = new PooledBody(16 << 10);
        try
        {
            while (!end.IsCancellationRequested && !parts.Calls.Draining)
            {
                body.Clear();
                body.Write("data: "u8);
                after = await snapshot.WriteAsync(body, after);
                body.Write("\n\n"u8);
                await context.Response.BodyWriter.WriteAsync(body.Memory, end.Token);
                await Task.Delay(Pace, parts.Time, end.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // The page was closed, or the process drains.
        }

        if (!context.RequestAborted.IsCancellationRequested) await context.Response.BodyWriter.WriteAsync("event: end\ndata: {}\n\n"u8.ToArray());
    }

    private static long AfterOf(HttpContext context) =>
        long.TryParse(context.Request.Query["after"].ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var after) ? after : 0;

    private static async Task RefuseAsync(HttpContext context, ProxyError refusal)
    {
        using var body = new PooledBody(512);
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteStartObject("error");
            json.WriteString("message", refusal.Message);
            json.WriteString("code", ProxyErrorTable.Of(refusal.Kind).Code);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        context.Response.StatusCode = refusal.Status;
        if (refusal.Kind is ProxyErrorKind.Unauthenticated) context.Response.Headers.WWWAuthenticate = "Bearer";
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        await context.Response.BodyWriter.WriteAsync(body.Memory);
    }

    /// <summary>Says in a page why there is no console.</summary>
    private static async Task RefusePageAsync(HttpContext context, ProxyError refusal)
    {
        ConsoleFiles.Protect(context.Response);
        var page = $"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>No console here</title><h1>The console is not shown here</h1>"
            + $"<p>{WebUtility.HtmlEncode(refusal.Message)}.</p></html>";
        var bytes = Encoding.UTF8.GetBytes(page);
        context.Response.StatusCode = refusal.Status;
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.ContentLength = bytes.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.BodyWriter.WriteAsync(bytes);
    }
}
