using System.Globalization;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>Responses that are kept: their present state, their events, the items of their requests; deletes and cancels them.</summary>
internal sealed class ResponseEndpoints(KeptResponses kept, ExchangeParts parts)
{
    private const string Root = "/v1/responses/", BareRoot = "/responses/";
    private const int MostItems = 100, UsualItems = 20;

    private readonly ChatWriter writer = new(KeptResponses.Dialect, parts);

    public IReadOnlyList<EndpointRow> Rows =>
    [
        Row("GET", static (self, scope, id, what) => what switch
        {
            "" => self.ReadAsync(scope, id),
            "input_items" => self.ListInputAsync(scope, id),
            _ => new(Nothing(scope)),
        }),
        Row("DELETE", static (self, scope, id, what) => what is "" ? self.DeleteAsync(scope, id) : new(Nothing(scope))),
        Row("POST", static (self, scope, id, what) => what is "cancel" ? self.CancelAsync(scope, id) : new(Nothing(scope))),
    ];

    private EndpointRow Row(string method, Func<ResponseEndpoints, CallScope, string, string, ValueTask<ProxyError?>> answer) =>
        new(method, [Root, BareRoot], new HandlerExchange(Root + "{id}", KeptResponses.Dialect, parts, async (scope, _) =>
        {
            var path = scope.Context.Request.Path.Value!;
            path = path[(path.StartsWith(Root, StringComparison.Ordinal) ? Root : BareRoot).Length..].TrimEnd('/');
            var slash = path.IndexOf('/');
            var id = slash < 0 ? path : path[..slash];
            // What runs in a process that handed over is not here, and not in the store yet.
            if (kept.Journals.FindNamed(id, scope.Caller.Name, out var _) is null && await parts.Forwarding.AnswerAsync(scope)) return null;
            return await answer(this, scope, id, slash < 0 ? "" : path[(slash + 1)..]);
        }) { ReadsBody = false }.HandleAsync);

    private async ValueTask<ProxyError?> ReadAsync(CallScope scope, string id)
    {
        var (journal, problem) = await kept.FindAsync(scope, id);
        if (journal is null) return problem;
        scope.Record.Joined = journal.Origin.TraceId;
        if (scope.Context.Request.Query["stream"].ToString() is "true" or "1") return await FollowAsync(scope, id, journal);
        await WriteStateAsync(scope, journal);
        return null;
    }

    private async ValueTask<ProxyError?> FollowAsync(CallScope scope, string id, AnswerJournal journal)
    {
        if (!journal.Origin.Streams)
            return new(ProxyErrorKind.InvalidRequest, "this response cannot be streamed: it was called for without \"stream\": true") { Param = "stream" };
        var after = StreamPlace.Start;
        if (scope.Context.Request.Query["starting_after"].ToString() is { Length: > 0 } said)
        {
            if (!long.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out var sequence))
                return Wrong("starting_after", said, "write the sequence_number of the last event that you have");
            if (ResponseState.PlaceOf(journal, sequence) is not { } place)
                return new(ProxyErrorKind.InvalidRequest, $"starting_after is {sequence}, but the response has no such event yet") { Param = "starting_after" };
            after = place;
        }

        if (!journal.Enter()) return KeptResponses.Gone(id);
        await writer.ReplayAsync(scope, journal, after);
        var response = scope.Context.Response;
        if (response.HasStarted || response.BodyWriter.UnflushedBytes > 0 || response.ContentLength is not null) return null;

        // The client has every event. SDKs fail at a response without a body.
        StreamHeaders.Set(response, KeptResponses.Dialect.StreamContentType);
        await response.BodyWriter.WriteAsync(KeptResponses.Dialect.KeepAlive.ToArray());
        return null;
    }

    private async ValueTask<ProxyError?> ListInputAsync(CallScope scope, string id)
    {
        var query = scope.Context.Request.Query;
        var order = query["order"].ToString();
        if (order is not ("" or "asc" or "desc")) return Wrong("order", order, "it can be asc or desc");
        var limit = UsualItems;
        if (query["limit"].ToString() is { Length: > 0 } said
            && (!int.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > MostItems))
            return Wrong("limit", said, $"it can be 1 to {MostItems}");
        var (journal, problem) = await kept.FindAsync(scope, id);
        if (journal?.Origin.Request is not { } request) return problem;
        using var body = new PooledBody();
        var after = query["after"].ToString() is { Length: > 0 } given ? given : null;
        if (new ResponseInputItems(request.Body, request.Earlier, journal.Origin.TraceId).Write(order is not "asc", limit, after, body) is { } unknown)
            return unknown;
        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    private async ValueTask<ProxyError?> DeleteAsync(CallScope scope, string id)
    {
        try
        {
            if (!await kept.DeleteAsync(scope, id, journal => Cancel(journal, $"DELETE {Root}{id}"))) return KeptResponses.NotFound(id);
        }
        catch (StoreException problem)
        {
            parts.Log.StoreUnreadable(problem.Message);
            return new(ProxyErrorKind.StoreFailed, "the store that keeps responses cannot be used now; try again later");
        }

        using var body = new PooledBody(128);
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("id", id);
            json.WriteString("object", "response");
            json.WriteBoolean("deleted", true);
            json.WriteEndObject();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    private async ValueTask<ProxyError?> CancelAsync(CallScope scope, string id)
    {
        var (journal, problem) = await kept.FindAsync(scope, id);
        if (journal is null) return problem;
        scope.Record.Joined = journal.Origin.TraceId;
        if (journal.Origin.Request is not { Terms.IsBackground: true })
        {
            return new(ProxyErrorKind.InvalidRequest, "only a response that was called for with \"background\": true can be cancelled")
            {
                Param = "response_id",
            };
        }

        if (!journal.IsOver) Cancel(journal, $"POST {Root}{id}/cancel");
        await journal.WhenEndedAsync(scope.Cancellation);
        await WriteStateAsync(scope, journal);
        return null;
    }

    private void Cancel(AnswerJournal journal, string by) => parts.Calls.Snapshot().FirstOrDefault(call => call.Info.TraceId == journal.Origin.TraceId)
        ?.Interrupt(new(ProxyErrorKind.Cancelled, $"the response was cancelled by {by}"));

    private static async ValueTask WriteStateAsync(CallScope scope, AnswerJournal journal)
    {
        using var body = new PooledBody();
        ResponseState.Write(journal, body);
        await Exchange.WriteAsync(scope, KeptResponses.Dialect.WholeContentType, body);
    }

    private static ProxyError Nothing(CallScope scope) =>
        new(ProxyErrorKind.UnknownPath, $"there is nothing at {scope.Context.Request.Method} {scope.Context.Request.Path.Value}");

    private static ProxyError Wrong(string name, string said, string hint) =>
        new(ProxyErrorKind.InvalidRequest, $"{name} is '{ModelName.Shown(said)}'; {hint}") { Param = name };
}
