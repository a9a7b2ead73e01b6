using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Events;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Answers that can be resumed: lists the caller's own, reads one from any place and follows it while it is generated, and cancels a call. An answer of a
/// caller without a key is found by its trace id alone, which cannot be guessed.
/// </summary>
internal sealed class StreamEndpoints(ErrorDialect dialect, ExchangeParts parts)
{
    public const string Root = "/v1/streams";
    private const string OperatorsRoot = "/streams";

    private readonly JournalTable journals = parts.Sharing.Journals;

    public IReadOnlyList<EndpointRow> Rows =>
    [
        new("GET", [Root], Handler((scope, _) => ListAsync(scope)).HandleAsync),
        new("GET", [Root + "/"], Handler((scope, _) => ReadAsync(scope)).HandleAsync),
        new("DELETE", [Root + "/"], Handler((scope, _) => CancelAsync(scope)).HandleAsync),
    ];

    /// <summary>The same for the operator, who sees the answers of all owners, by default as events.</summary>
    public IReadOnlyList<EndpointRow> OperatorRows =>
    [
        new("GET", [OperatorsRoot], Handler((scope, _) => ListAllAsync(scope), OperatorsRoot).HandleAsync),
        new("GET", [OperatorsRoot + "/"], Handler((scope, _) => ReadAsync(scope), OperatorsRoot).HandleAsync),
        new("DELETE", [OperatorsRoot + "/"], Handler((scope, _) => CancelAsync(scope), OperatorsRoot).HandleAsync),
    ];

    private HandlerExchange Handler(Func<CallScope, PooledBody, ValueTask<ProxyError?>> answer, string surface = Root) =>
        new(surface, dialect, parts, answer) { ReadsBody = false };

    private async ValueTask<ProxyError?> ListAllAsync(CallScope scope)
    {
        using var body = new PooledBody();
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteStartArray("streams");
            foreach (var journal in journals.List(null)) JournalJson.WriteRow(json, journal, parts.Time.GetUtcNow());
            await WriteOthersAsync(scope, json, "streams");
            json.WriteEndArray();
            json.WriteEndObject();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    private async ValueTask<ProxyError?> ListAsync(CallScope scope)
    {
        if (scope.Caller.IsAnonymous)
            return new(ProxyErrorKind.Forbidden, "answers are listed only for a caller with an API key; without one, keep the trace id (x-trace-id)");
        using var body = new PooledBody();
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            foreach (var journal in journals.List(scope.Caller.Name)) JournalJson.WriteRow(json, journal, parts.Time.GetUtcNow());
            await WriteOthersAsync(scope, json, "data");
            json.WriteEndArray();
            json.WriteEndObject();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    /// <summary>Writes the rows of the processes that handed over.</summary>
    private async ValueTask WriteOthersAsync(CallScope scope, Utf8JsonWriter json, string member)
    {
        foreach (var answer in await parts.Forwarding.AskAllAsync(scope))
        {
            using var said = JsonDocument.Parse(answer);
            foreach (var row in said.RootElement.GetProperty(member).EnumerateArray()) row.WriteTo(json);
        }
    }

    private async ValueTask<ProxyError?> ReadAsync(CallScope scope)
    {
        var id = IdOf(scope);
        var owner = OwnerOf(scope);
        if (!journals.TryFind(id, owner, out var journal, out var isGone) && !(IsAdmin(scope) && journals.TryFind(id, null, out journal, out isGone)))
        {
            if (await parts.Forwarding.AnswerAsync(scope)) return null;
            if (isGone || owner is null || parts.Sharing.Shared is not { } shared) return NotFound(id, isGone);
            (journal, isGone, var unknown) = await shared.FindAsync(id, owner, scope.Cancellation);
            if (journal is null) return unknown ?? NotFound(id, isGone);
        }

        scope.Record.Joined = id;
        var query = scope.Context.Request.Query;
        if (DialectOf(query["as"].ToString(), scope.IsOperators ? new EventSchemaClientDialect() : journal.Origin.Dialect) is not { } client)
        {
            var said = ModelName.Shown(query["as"].ToString());
            return new(ProxyErrorKind.InvalidRequest, $"as is '{said}'; it can be openai, responses, anthropic, ollama or events") { Param = "as" };
        }

        if (PlaceOf(scope, id, out var after) is { } wrong) return wrong;
        var countsLines = client.Framing is StreamFraming.JsonLines && !(journal.Head is { Verbatim: true } && client.Name == journal.Origin.Dialect.Name);
        if (!countsLines && after.Frame > 0 && !IsBehind(journal) && after.Frame > Frames(journal) + 1) return BeyondTheEnd(after, journal);
        if (!journal.Enter()) return NotFound(id, isGone: true);
        scope.Dialect = client;
        await new ChatWriter(client, parts).ReplayAsync(scope, journal, after);
        EndEmpty(scope.Context.Response);
        return null;
    }

    private async ValueTask<ProxyError?> CancelAsync(CallScope scope)
    {
        var id = IdOf(scope);
        var owner = IsAdmin(scope) ? null : OwnerOf(scope);
        var running = parts.Calls.Snapshot()
            .FirstOrDefault(call => call.Info.TraceId == id && (owner ?? call.Info.Owner) == call.Info.Owner && call != scope);
        var isKept = journals.TryFind(id, owner, out var journal, out var isGone);
        if (running is null && !isKept && await parts.Forwarding.AnswerAsync(scope)) return null;
        var (isElsewhere, isCancelled, unknown) = await DeleteSharedAsync(scope, id, running, journal);
        if (running is null && !isKept && !isElsewhere) return unknown ?? NotFound(id, isGone);
        running?.Interrupt(new(ProxyErrorKind.Cancelled,
            scope.IsOperators || running.Info.Owner != scope.Caller.Name
                ? "the operator cancelled the call" : $"the call was cancelled by DELETE {Root}/{id}"));
        if (journal is not null) journals.Remove(journal);
        using var body = new PooledBody(128);
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("id", id);
            json.WriteString("object", "stream.deleted");
            json.WriteBoolean("cancelled", running is not null || isCancelled);
            json.WriteEndObject();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    /// <summary>Deletes the answer where other proxies find it.</summary>
    private ValueTask<(bool IsFound, bool IsCancelled, ProxyError? Problem)> DeleteSharedAsync(
        CallScope scope, string id, CallScope? running, AnswerJournal? journal) =>
        parts.Sharing.Shared is not { } shared || (running is not null && journal is null)
            ? default
            : shared.DeleteAsync(id, scope.Caller.Name, scope.Cancellation);

    /// <summary>A client that has everything gets 204, which also tells a browser's event source not to connect again.</summary>
    private static void EndEmpty(HttpResponse response)
    {
        if (response.HasStarted || response.BodyWriter.UnflushedBytes > 0 || response.ContentLength is not null) return;
        response.StatusCode = StatusCodes.Status204NoContent;
        response.Headers.ContentType = default;
    }

    /// <summary>Whose answers the caller may see; null: those of all owners.</summary>
    private static string? OwnerOf(CallScope scope) => scope.IsOperators ? null : scope.Caller.Name;

    /// <summary>Whether the caller may also read and cancel what belongs to others.</summary>
    private bool IsAdmin(CallScope scope) => !scope.IsOperators && parts.Gate.IsAdmin(scope.Context, scope.Caller);

    private static string IdOf(CallScope scope)
    {
        var path = scope.Context.Request.Path.Value!.TrimEnd('/');
        return path[(path.LastIndexOf('/') + 1)..];
    }

    /// <summary>The client may have more of an answer that another proxy generates than has been journaled.</summary>
    private bool IsBehind(AnswerJournal journal) => parts.Sharing.Shared is { } shared && shared.IsMirrored(journal);


    /// <summary>The dialect that is asked for, as the client of a stream; null: there is none of that name.</summary>
    private static ClientDialect? DialectOf(string name, ClientDialect own) => name switch
    {
        "" => own,
        "openai" => DialectTable.Client(DialectName.OpenAiChat),
        "responses" => DialectTable.Client(DialectName.OpenAiResponses),
        "anthropic" => DialectTable.Client(DialectName.Anthropic),
        "ollama" => DialectTable.Client(DialectName.OllamaChat),
        "events" => new EventSchemaClientDialect(),
        _ => null,
    };

    /// <summary>Where the client's copy ends: <c>after</c>, or the header that a browser's event source sends.</summary>
    private static ProxyError? PlaceOf(CallScope scope, string id, out StreamPlace after)
    {
        after = StreamPlace.Start;
        var request = scope.Context.Request;
        var asked = request.Query["after"].ToString();
        var said = asked.Length > 0 ? asked : request.Headers.TryGetValue("last-event-id", out var last) ? last.ToString() : "";
        if (said.Length == 0 || StreamPlace.TryParse(said, id, out after)) return null;
        var name = asked.Length > 0 ? "after" : "Last-Event-ID";
        return new(ProxyErrorKind.InvalidRequest, $"{name} is '{ModelName.Shown(said)}'; write the number of the last frame that you have, or its whole id")
        {
            Param = name,
        };
    }

    private static long Frames(AnswerJournal journal)
    {
        if (journal.Head is not { Streams: true } head) return journal.Length > 0 ? 1 : 0;
        using var cutter = FrameCutter.For(head.Dialect?.Framing ?? StreamFraming.JsonLines);
        ReadOnlySpan<byte> pending = journal.ToArray();
        var count = 0L;
        while (cutter.TryTake(ref pending, out _, out _)) count++;
        return count + (pending.IsEmpty ? 0 : 1);
    }

    private static ProxyError BeyondTheEnd(StreamPlace after, AnswerJournal journal) =>
        new(ProxyErrorKind.InvalidRequest, $"after is {after.Frame}, but the answer has {Frames(journal)} frames so far") { Param = "after" };

    private static ProxyError NotFound(string id, bool isGone) => isGone
        ? new(ProxyErrorKind.StreamExpired, $"the answer {ModelName.Shown(id)} is not kept any more; [streams] keep and memory limit how long answers are kept")
        : new(ProxyErrorKind.UnknownPath, $"there is no answer with the trace id {ModelName.Shown(id)} to resume: "
            + "its call did not say x-resume: 1, or it was deleted, or the proxy has been restarted since")
        {
            Code = "stream_not_found",
        };
}
