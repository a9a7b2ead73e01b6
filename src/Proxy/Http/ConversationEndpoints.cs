using System.Globalization;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// The endpoints of llama.cpp's server by which a client reads its conversation's stream again, from any byte. A caller sees only its own, and only those
/// whose ids it knows.
/// </summary>
internal sealed class ConversationEndpoints(ErrorDialect dialect, ExchangeParts parts)
{
    private const string Stream = "/v1/stream", Lookup = "/v1/streams/lookup";

    private readonly Conversations conversations = parts.Sharing.Conversations;

    public IReadOnlyList<EndpointRow> Rows =>
    [
        new("GET", [Stream], new HandlerExchange(Stream, dialect, parts, (scope, _) => ReadAsync(scope)) { ReadsBody = false }.HandleAsync),
        new("DELETE", [Stream], new HandlerExchange(Stream, dialect, parts, (scope, _) => CancelAsync(scope)) { ReadsBody = false }.HandleAsync),
        new("POST", [Lookup], new HandlerExchange(Lookup, dialect, parts, LookUpAsync).HandleAsync),
    ];

    private static ProxyError NoId => new(ProxyErrorKind.InvalidRequest, "conv_id is missing; it is the X-Conversation-Id of the call") { Param = "conv_id" };

    private static ProxyError NotFound => new(ProxyErrorKind.UnknownPath, "no stream is kept for this conversation; its call must have X-Conversation-Id")
    {
        Code = "stream_not_found",
    };

    private static string IdOf(CallScope scope) => scope.Context.Request.Query["conv_id"].ToString();

    private static ProxyError BadOffset(string why) => new(ProxyErrorKind.InvalidRequest, why) { Param = "from" };

    private async ValueTask<ProxyError?> ReadAsync(CallScope scope)
    {
        if (IdOf(scope) is not { Length: > 0 } id) return NoId;
        if (conversations.Find(scope, id) is not { State: not JournalState.Failed } journal)
            return await parts.Forwarding.AnswerAsync(scope) ? null : NotFound;
        var said = scope.Context.Request.Query["from"].ToString();
        var from = 0L;
        if (said.Length > 0 && !long.TryParse(said, NumberStyles.None, CultureInfo.InvariantCulture, out from))
            return BadOffset($"from is '{ModelName.Shown(said)}'; write the number of bytes that you have");
        if (from > journal.Length) return BadOffset($"from is {from}, but the stream has {journal.Length} bytes so far");
        if (!journal.Enter()) return NotFound;
        scope.Read(journal);
        scope.Record.Joined = journal.Origin.TraceId;
        scope.Record.Model = ModelName.Shown(journal.Origin.Model);
        scope.Record.Stream = true;
        if (journal.Read(from) is not { } body) return BadOffset("the stream is not kept any more: it is larger than [streams] memory; send the call again");
        StreamHeaders.Set(scope.Context.Response, journal.Origin.Dialect.StreamContentType);
        await JournalCopy.RunAsync(body, scope.Context);
        if (scope.ClientLeft) await scope.LeftAsync();
        else if (journal.Length == 0) return journal.Error ?? NotFound; // the call was refused, or its answer was no stream
        return null;
    }

    private async ValueTask<ProxyError?> CancelAsync(CallScope scope)
    {
        if (IdOf(scope) is not { Length: > 0 } id) return NoId;
        if (conversations.Find(scope, id) is { } journal) conversations.Cancel(journal, $"the call was cancelled by DELETE {Stream}");
        else if (ConnectionFeature.Of(scope.Context) is { IsForwarded: true }) return NotFound; // another process may have it
        else if (await parts.Forwarding.AnswerAsync(scope)) return null;
        scope.Context.Response.StatusCode = StatusCodes.Status204NoContent; // also if there is none: it may have ended by itself
        return null;
    }

    private async ValueTask<ProxyError?> LookUpAsync(CallScope scope, PooledBody request)
    {
        using var held = request;
        if (!TryReadIds(request.Memory, out var ids))
            return new(ProxyErrorKind.InvalidRequest, "the body must be {\"conversation_ids\": [\"…\"]}") { Param = "conversation_ids" };
        using var body = new PooledBody();
        await using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartArray();
            foreach (var journal in conversations.Find(scope, ids)) Write(json, journal);
            foreach (var others in await parts.Forwarding.AskAllAsync(scope, request.Memory))
            {
                using var rows = JsonDocument.Parse(others);
                foreach (var row in rows.RootElement.EnumerateArray()) row.WriteTo(json);
            }

            json.WriteEndArray();
        }

        await Exchange.WriteAsync(scope, "application/json", body);
        return null;
    }

    private static bool TryReadIds(ReadOnlyMemory<byte> body, out List<string> ids)
    {
        ids = [];
        try
        {
            using var parsed = JsonDocument.Parse(body);
            if (parsed.RootElement.ValueKind is not JsonValueKind.Object) return false;
            if (!parsed.RootElement.TryGetProperty("conversation_ids", out var all) || all.ValueKind is not JsonValueKind.Array) return true;
            ids.AddRange(all.EnumerateArray().Where(static id => id.ValueKind is JsonValueKind.String).Select(static id => id.GetString()!)
                .Where(static id => id.Length > 0).Distinct());
            return true;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or a string that is not UTF-16
        {
            return false;
        }
    }

    private static void Write(Utf8JsonWriter json, AnswerJournal journal)
    {
        json.WriteStartObject();
        json.WriteString("conversation_id", journal.Origin.Conversation);
        json.WriteBoolean("is_done", journal.IsOver);
        json.WriteNumber("total_bytes", journal.Length);
        json.WriteNumber("started_at", journal.Origin.Created.ToUnixTimeSeconds());
        json.WriteNumber("completed_at", journal.Ended?.ToUnixTimeSeconds() ?? 0);
        json.WriteEndObject();
    }
}

/// <summary>Copies a journal's bytes to a client as they are.</summary>
internal static class JournalCopy
{
    /// <summary>Ends with the journal, or when the client leaves. Disposes the body.</summary>
    public static async Task RunAsync(JournalBody body, HttpContext context)
    {
        using var reading = body;
        using var left = context.RequestAborted.UnsafeRegister(static state => ((JournalBody)state!).Cancel(), body);
        var output = Transport.RelayOutput.Of(context);
        try
        {
            ReplyRead read;
            while ((read = await body.ReadAsync()).Kind is ReplyReadKind.Data)
            {
                var flushed = await output.WriteAsync(read.Bytes);
                if (flushed.IsCompleted || flushed.IsCanceled) return;
            }

            // Half a stream must not look complete. Of a call that was refused there is nothing yet: its client gets the refusal.
            if (body.IsCut || (read.Kind is ReplyReadKind.Failed && body.Position > 0)) context.Abort();
        }
        catch (Exception problem) when (problem is IOException or OperationCanceledException or InvalidOperationException)
        {
            // The client has left.
        }
    }
}
