using System.Globalization;
using System.Runtime.InteropServices;
using Proxy.Streams;

namespace Proxy.Store.Sqlite;

/// <summary>Writes rows into the tables, inside a transaction.</summary>
internal static class SqliteRows
{
    private const string InsertExchange = """
        insert into exchanges(trace_id, correlation_id, session, owner, req_id, surface, model, route, workspace, pipeline, winner, backend, status,
            input_tokens, output_tokens, started_at, first_token_ms, duration_ms, request, answer)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do nothing
        """;

    private const string AddUsage = """
        insert into usage_daily(day, owner, model, requests, input_tokens, output_tokens) values (?, ?, ?, ?, ?, ?)
        on conflict do update set requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens,
            output_tokens = output_tokens + excluded.output_tokens
        """;

    private const string UpsertKey = """
        insert into idempotency_log(owner, key, trace_id, req_id, digest, status, result, updated_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do update set trace_id = excluded.trace_id, req_id = excluded.req_id, digest = excluded.digest, status = excluded.status,
            result = excluded.result, updated_at = excluded.updated_at, expires_at = excluded.expires_at
        where excluded.updated_at >= updated_at
        """;

    private const string UpsertAnswer = """
        insert into answers(trace_id, owner, host_id, meta, frames, request, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do update set host_id = excluded.host_id, meta = excluded.meta, frames = excluded.frames, request = excluded.request,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        where excluded.owner = owner
        """;

    private const string UpsertCompletion = """
        insert into completions_cache(owner, req_id, model, content, tool_calls, reasoning, finish_reason, winner, usage, events, created_at, expires_at)
        values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do update set model = excluded.model, content = excluded.content, tool_calls = excluded.tool_calls, reasoning = excluded.reasoning,
            finish_reason = excluded.finish_reason, winner = excluded.winner, usage = excluded.usage, events = excluded.events,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        where excluded.created_at >= created_at
        """;

    private const string UpsertArtifact = """
        insert into artifacts(trace_id, key, owner, media_type, uri, value, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?, ?)
        on conflict do update set media_type = excluded.media_type, uri = excluded.uri, value = excluded.value, created_at = excluded.created_at,
            expires_at = excluded.expires_at
        where excluded.owner = owner and excluded.created_at >= created_at
        """;

    public static void Write(SqliteConnection connection, IReadOnlyList<StoreRow> rows)
    {
        // Exchanges of one day, owner and model share one update of their sums.
        var usage = new Dictionary<(string Day, string Owner, string Model), (long Requests, long Input, long Output)>();
        foreach (var row in rows)
        {
            switch (row)
            {
                case ExchangeRow exchange:
                    if (Insert(connection, exchange) == 0) break;
                    ref var sum = ref CollectionsMarshal.GetValueRefOrAddDefault(usage, (Day(exchange.Started), exchange.Owner, exchange.Model), out _);
                    sum = (sum.Requests + 1, sum.Input + (exchange.InputTokens ?? 0), sum.Output + (exchange.OutputTokens ?? 0));
                    break;
                case KeyRow key:
                    Upsert(connection, key);
                    break;
                case AnswerRow answer:
                    Upsert(connection, answer);
                    break;
                case CompletionRow completion:
                    Upsert(connection, completion);
                    break;
                case ArtifactRow artifact:
                    Upsert(connection, artifact);
                    break;
            }
        }

        foreach (var ((day, owner, model), (requests, input, output)) in usage)
            connection.Prepare(AddUsage).Bind(day).Bind(owner).Bind(model).Bind((long?)requests).Bind((long?)input).Bind((long?)output).Run();
    }

    /// <summary>A day as the tables have it.</summary>
    public static string Day(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static string Day(DateTimeOffset time) => Day(DateOnly.FromDateTime(time.UtcDateTime));

    /// <summary>Returns 0 if there is a row with its trace id.</summary>
    public static long Insert(SqliteConnection connection, ExchangeRow row) => connection.Prepare(InsertExchange)
        .Bind(row.TraceId).Bind(row.CorrelationId).Bind(row.Session).Bind(row.Owner).Bind(row.RequestId).Bind(row.Surface).Bind(row.Model).Bind(row.Route)
        .Bind(row.Workspace).Bind(row.Pipeline).Bind(row.Winner).Bind(row.Backend).Bind(row.Status).Bind((long?)row.InputTokens).Bind((long?)row.OutputTokens)
        .Bind(row.Started).Bind(row.FirstTokenMs).Bind((double?)row.DurationMs).Bind(row.Request).Bind(row.Answer).Run();

    private static void Upsert(SqliteConnection connection, KeyRow row) => connection.Prepare(UpsertKey)
        .Bind(row.Owner).Bind(row.Key).Bind(row.TraceId).Bind(row.RequestId).Bind(row.Digest).Bind(row.Status)
        .Bind(row.Status is "done" ? row.TraceId : null).Bind(row.UpdatedAt).Bind(row.ExpiresAt).Run();

    private static void Upsert(SqliteConnection connection, AnswerRow row) => connection.Prepare(UpsertAnswer)
        .Bind(row.TraceId).Bind(row.Owner).Bind(row.HostId).Bind(row.Meta).Bind(row.Frames).Bind(row.Request).Bind(row.CreatedAt).Bind(row.ExpiresAt).Run();

    private static void Upsert(SqliteConnection connection, CompletionRow row) => connection.Prepare(UpsertCompletion)
        .Bind(row.Owner).Bind(row.RequestId).Bind(row.Model).Bind(row.Content).Bind(row.ToolCalls).Bind(row.Reasoning).Bind(row.FinishReason)
        .Bind(row.Winner).Bind(row.Usage).Bind(row.Events).Bind(row.CreatedAt).Bind(row.ExpiresAt).Run();

    private static void Upsert(SqliteConnection connection, ArtifactRow row) => connection.Prepare(UpsertArtifact)
        .Bind(row.TraceId).Bind(row.Key).Bind(row.Owner).Bind(row.MediaType).Bind(row.Uri).Bind(row.Value).Bind(row.CreatedAt)
        .Bind(row.ExpiresAt?.ToUnixTimeMilliseconds()).Run();
}
