using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Primitives;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Daily usage from the store: for callers at <c>/v1/usage</c> (a key sees its own, an admin key everyone's), and for the operator on the admin socket, who
/// can also delete the records of an owner. Without a store, both say how to configure one.
/// </summary>
/// <param name="store">Null: none is configured.</param>
/// <param name="writer">What is handed over to it is written before an owner is forgotten; null without a store.</param>
/// <param name="forgets">Each removes from memory what is kept there of an owner.</param>
/// <param name="dialect">The dialect of errors.</param>
/// <param name="parts">What every exchange is made of.</param>
internal sealed class UsageEndpoints(
    IRecordStore? store, IRecordWriter? writer, IReadOnlyList<Action<string>> forgets, ErrorDialect dialect, ExchangeParts parts)
{
    public const string NoStore = "this proxy keeps no records: add a section [store] with kind = \"sqlite\" to its configuration and restart it";

    private const string Path = "/v1/usage";

    /// <summary>The days that are shown if none are asked for, today included.</summary>
    private const int DefaultDays = 30;

    public IReadOnlyList<EndpointRow> Rows => [new("GET", [Path, "/usage"], UsageAsync)];

    public IReadOnlyList<EndpointRow> AdminRows => [new("GET", ["/usage"], AdminUsageAsync), new("POST", ["/forget"], ForgetAsync)];

    private Task UsageAsync(HttpContext context) => new HandlerExchange(Path, dialect, parts, async (scope, _) =>
    {
        if (store is null) return new(ProxyErrorKind.NotImplemented, NoStore);
        var all = parts.Gate.IsAdmin(context, scope.Caller);
        if (!all && scope.Caller.IsAnonymous)
            return new(ProxyErrorKind.Forbidden, "usage is shown by key: it needs an API key, or a call from this machine to a proxy that has no keys");
        if (Read(context.Request.Query, Today, out var span) is { } invalid) return invalid;
        if (!all && span.Owner is { } other && other != scope.Caller.Name)
            return new(ProxyErrorKind.Forbidden, "only an admin key (admin = true in its section) is shown the usage of others") { Param = "owner" };
        IReadOnlyList<UsageRow> rows;
        try
        {
            rows = await store.ReadUsageAsync(all ? span.Owner : scope.Caller.Name, span.From, span.To, scope.Cancellation);
        }
        catch (StoreException problem)
        {
            parts.Log.StoreUnreadable(problem.Message);
            return new(ProxyErrorKind.StoreFailed, "the records cannot be read; the proxy's log says why");
        }

        using var body = new PooledBody();
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            Write(json, span, "data", rows);
            json.WriteEndObject();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }) { ReadsBody = false }.HandleAsync(context);

    private Task AdminUsageAsync(HttpContext context) => AnswerAsync(context, async json =>
    {
        if (Read(context.Request.Query, Today, out var span) is { } invalid) throw new StoreException(invalid.Message);
        Write(json, span, "usage", await store!.ReadUsageAsync(span.Owner, span.From, span.To, context.RequestAborted));
    });

    private Task ForgetAsync(HttpContext context) => AnswerAsync(context, async json =>
    {
        if (context.Request.Query["owner"].ToString() is not { Length: > 0 } owner) throw new StoreException("owner is missing");
        try
        {
            await writer!.WriteAsync([], context.RequestAborted); // what waits is written first, and deleted too
        }
        catch (StoreException)
        {
            // Then nothing waits any more.
        }

        var deleted = await store!.ForgetAsync(owner, context.RequestAborted);
        foreach (var forget in forgets) forget(owner);
        json.WriteNumber("deleted", deleted);
    });

    /// <summary>Answers the operator: with what is written, or with the reason why it cannot be.</summary>
    private async Task AnswerAsync(HttpContext context, Func<Utf8JsonWriter, Task> write)
    {
        using var body = new PooledBody();
        try
        {
            if (store is null) throw new StoreException(NoStore);
            await using var json = new Utf8JsonWriter(body);
            json.WriteStartObject();
            await write(json);
            json.WriteEndObject();
        }
        catch (StoreException problem)
        {
            body.Clear();
            await using var json = new Utf8JsonWriter(body);
            json.WriteStartObject();
            json.WriteString("error", problem.Message);
            json.WriteEndObject();
        }

        context.Response.ContentType = "application/json";
        context.Response.ContentLength = body.Length;
        await context.Response.BodyWriter.WriteAsync(body.Memory);
    }

    private DateOnly Today => DateOnly.FromDateTime(parts.Time.GetUtcNow().UtcDateTime);

    private static ProxyError? Read(IQueryCollection query, DateOnly today, out (string? Owner, DateOnly From, DateOnly To) span)
    {
        span = (query["owner"].ToString() is { Length: > 0 } owner ? owner : null, default, today);
        if (Day(query["to"]) is not { } to) return NotADay("to");
        span.To = to == default ? today : to;
        if (Day(query["from"]) is not { } from) return NotADay("from");
        span.From = from == default ? span.To.AddDays(1 - DefaultDays) : from;
        return span.From <= span.To ? null : new(ProxyErrorKind.InvalidRequest, "from is after to") { Param = "from" };

        static ProxyError NotADay(string name) => new(ProxyErrorKind.InvalidRequest, $"{name} is not a day; write it as 2026-12-31") { Param = name };
    }

    /// <summary>The default if there is none; null if it is not a day.</summary>
    private static DateOnly? Day(StringValues value)
    {
        if (value.Count == 0) return default(DateOnly);
        return DateOnly.TryParseExact(value.ToString(), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day)
            && day > DateOnly.MinValue.AddDays(DefaultDays) ? day : null;
    }

    private static void Write(Utf8JsonWriter json, (string? Owner, DateOnly From, DateOnly To) span, string name, IReadOnlyList<UsageRow> rows)
    {
        json.WriteString("from", Text(span.From));
        json.WriteString("to", Text(span.To));
        json.WriteStartArray(name);
        foreach (var row in rows)
        {
            json.WriteStartObject();
            json.WriteString("day", Text(row.Day));
            json.WriteString("owner", row.Owner);
            json.WriteString("model", row.Model);
            WriteCounts(json, row.Requests, row.InputTokens, row.OutputTokens);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartObject("total");
        WriteCounts(json, rows.Sum(static row => row.Requests), rows.Sum(static row => row.InputTokens), rows.Sum(static row => row.OutputTokens));
        json.WriteEndObject();

        static string Text(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
    }

    private static void WriteCounts(Utf8JsonWriter json, long requests, long input, long output)
    {
        json.WriteNumber("requests", requests);
        json.WriteNumber("input_tokens", input);
        json.WriteNumber("output_tokens", output);
    }
}
