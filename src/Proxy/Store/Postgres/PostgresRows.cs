using System.Text;
using Npgsql;
using NpgsqlTypes;
using Proxy.Streams;

namespace Proxy.Store.Postgres;

/// <summary>
/// Writes rows. All rows of one table are one statement with an array for each column, and all statements are sent together, so a group of any size costs one
/// round trip. Without an explicit transaction PostgreSQL makes one of them all. Rows are sorted by their keys: processes that write the same rows then take
/// their locks in the same order.
/// </summary>
/// <param name="schema">The schema's name, quoted.</param>
internal sealed class PostgresRows(string schema)
{
    private const NpgsqlDbType Texts = NpgsqlDbType.Array | NpgsqlDbType.Text;
    private const NpgsqlDbType Integers = NpgsqlDbType.Array | NpgsqlDbType.Integer;
    private const NpgsqlDbType Numbers = NpgsqlDbType.Array | NpgsqlDbType.Double;
    private const NpgsqlDbType Bytes = NpgsqlDbType.Array | NpgsqlDbType.Bytea;
    private const NpgsqlDbType Times = NpgsqlDbType.Array | NpgsqlDbType.TimestampTz;

    /// <summary>The most bytes of one statement's arrays. PostgreSQL takes 1 GiB.</summary>
    private const long LargestStatement = 64 << 20;

    private readonly string insertExchanges = $"""
        with added as (
            insert into {schema}.exchanges (trace_id, correlation_id, session, owner, req_id, surface, model, route, workspace, pipeline, winner, backend,
                status, input_tokens, output_tokens, started_at, first_token_ms, duration_ms, request, answer)
            select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
            on conflict (trace_id) do nothing
            returning (started_at at time zone 'UTC')::date as day, owner, model, input_tokens, output_tokens)
        insert into {schema}.usage_daily as old (day, owner, model, requests, input_tokens, output_tokens)
        select day, owner, model, count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0)
        from added group by day, owner, model order by day, owner, model
        on conflict (day, owner, model) do update set requests = old.requests + excluded.requests,
            input_tokens = old.input_tokens + excluded.input_tokens, output_tokens = old.output_tokens + excluded.output_tokens
        """;

    private readonly string upsertKeys = $"""
        insert into {schema}.idempotency_log as old (owner, key, trace_id, req_id, digest, status, result, updated_at, expires_at)
        select * from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (owner, key) do update set trace_id = excluded.trace_id, req_id = excluded.req_id, digest = excluded.digest, status = excluded.status,
            result = excluded.result, updated_at = excluded.updated_at, expires_at = excluded.expires_at
        where excluded.updated_at >= old.updated_at
        """;

    private readonly string upsertAnswers = $"""
        insert into {schema}.answers as old (trace_id, owner, host_id, meta, frames, request, created_at, expires_at)
        select trace_id, owner, host_id, meta::json, frames, request, created_at, expires_at
        from unnest($1, $2, $3, $4, $5, $6, $7, $8) as new (trace_id, owner, host_id, meta, frames, request, created_at, expires_at)
        on conflict (trace_id) do update set host_id = excluded.host_id, meta = excluded.meta, frames = excluded.frames, request = excluded.request,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        where excluded.owner = old.owner
        """;

    private readonly string upsertCompletions = $"""
        insert into {schema}.completions_cache as old (owner, req_id, model, content, tool_calls, reasoning, finish_reason, winner, usage, events, created_at,
            expires_at)
        select owner, req_id, model, content, tool_calls::json, reasoning, finish_reason, winner, usage::json, events, created_at, expires_at
        from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            as new (owner, req_id, model, content, tool_calls, reasoning, finish_reason, winner, usage, events, created_at, expires_at)
        on conflict (owner, req_id) do update set model = excluded.model, content = excluded.content, tool_calls = excluded.tool_calls,
            reasoning = excluded.reasoning, finish_reason = excluded.finish_reason, winner = excluded.winner, usage = excluded.usage,
            events = excluded.events, created_at = excluded.created_at, expires_at = excluded.expires_at
        where excluded.created_at >= old.created_at
        """;

    private readonly string upsertArtifacts = $"""
        insert into {schema}.artifacts as old (trace_id, key, owner, media_type, uri, value, created_at, expires_at)
        select trace_id, key, owner, media_type, uri, value::json, created_at, expires_at
        from unnest($1, $2, $3, $4, $5, $6, $7, $8) as new (trace_id, key, owner, media_type, uri, value, created_at, expires_at)
        on conflict (trace_id, key) do update set media_type = excluded.media_type, uri = excluded.uri, value = excluded.value,
            created_at = excluded.created_at, expires_at = excluded.expires_at
        where excluded.owner = old.owner and excluded.created_at >= old.created_at
        """;

    /// <summary>Adds the statements that write the rows.</summary>
    public void Write(NpgsqlBatch batch, IReadOnlyList<StoreRow> rows)
    {
        foreach (var part in Parts(rows.OfType<ExchangeRow>().OrderBy(row => row.TraceId, StringComparer.Ordinal), Size))
            batch.BatchCommands.Add(Insert(part));
        foreach (var part in Parts(Last(rows.OfType<KeyRow>(), row => (row.Owner, row.Key), row => row.UpdatedAt), _ => 1024))
            batch.BatchCommands.Add(Upsert(part));
        foreach (var part in Parts(Last(rows.OfType<AnswerRow>(), row => ("", row.TraceId), _ => default), Size))
            batch.BatchCommands.Add(Upsert(part));
        foreach (var part in Parts(Last(rows.OfType<CompletionRow>(), row => (row.Owner, row.RequestId), row => row.CreatedAt), Size))
            batch.BatchCommands.Add(Upsert(part));
        foreach (var part in Parts(Last(rows.OfType<ArtifactRow>(), row => (row.TraceId, PostgresText.Indexed(row.Key)), row => row.CreatedAt), Size))
            batch.BatchCommands.Add(Upsert(part));
    }

    private static long Size(ExchangeRow row) => 1024 + (row.Request?.Length ?? 0) + (row.Answer?.Length ?? 0);

    private static long Size(AnswerRow row) => 1024 + row.Meta.Length + row.Frames.Length + (row.Request?.Length ?? 0);

    private static long Size(CompletionRow row) =>
        1024 + row.Events.Length + (4 * ((row.Content?.Length ?? 0) + (row.ToolCalls?.Length ?? 0) + (row.Reasoning?.Length ?? 0)));

    private static long Size(ArtifactRow row) => 1024 + (4 * ((row.Value?.Length ?? 0) + (row.Uri?.Length ?? 0)));

    /// <summary>One statement may not update a row twice, so of the rows with one key only the latest is kept, sorted by key.</summary>
    private static IEnumerable<T> Last<T>(IEnumerable<T> rows, Func<T, (string, string)> key, Func<T, DateTimeOffset> time) =>
        from row in rows
        group row by key(row) into twins
        orderby twins.Key.Item1, twins.Key.Item2
        select twins.Aggregate((kept, next) => time(next) >= time(kept) ? next : kept);

    private static IEnumerable<List<T>> Parts<T>(IEnumerable<T> rows, Func<T, long> size)
    {
        var part = new List<T>();
        var bytes = 0L;
        foreach (var row in rows)
        {
            if (part.Count > 0 && bytes + size(row) > LargestStatement)
            {
                yield return part;
                (part, bytes) = ([], 0);
            }

            part.Add(row);
            bytes += size(row);
        }

        if (part.Count > 0) yield return part;
    }

    private NpgsqlBatchCommand Insert(List<ExchangeRow> rows) => new(insertExchanges)
    {
        Parameters =
        {
            Column(rows, static row => PostgresText.Indexed(row.TraceId), Texts),
            Column(rows, static row => PostgresText.Clean(row.CorrelationId), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Session), Texts),
            Column(rows, static row => PostgresText.Clean(row.Owner), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.RequestId), Texts),
            Column(rows, static row => PostgresText.Clean(row.Surface), Texts),
            Column(rows, static row => PostgresText.Indexed(row.Model), Texts),
            Column(rows, static row => PostgresText.Clean(row.Route), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Workspace), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Pipeline), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Winner), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Backend), Texts),
            Column(rows, static row => PostgresText.Clean(row.Status), Texts),
            Column(rows, static row => row.InputTokens, Integers),
            Column(rows, static row => row.OutputTokens, Integers),
            Column(rows, static row => row.Started.UtcDateTime, Times),
            Column(rows, static row => row.FirstTokenMs, Numbers),
            Column(rows, static row => row.DurationMs, Numbers),
            Column(rows, static row => row.Request, Bytes),
            Column(rows, static row => row.Answer, Bytes),
        },
    };

    private NpgsqlBatchCommand Upsert(List<KeyRow> rows) => new(upsertKeys)
    {
        Parameters =
        {
            Column(rows, static row => PostgresText.Clean(row.Owner), Texts),
            Column(rows, static row => PostgresText.Indexed(row.Key), Texts),
            Column(rows, static row => PostgresText.Clean(row.TraceId), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.RequestId), Texts),
            Column(rows, static row => PostgresText.Clean(row.Digest), Texts),
            Column(rows, static row => PostgresText.Clean(row.Status), Texts),
            Column(rows, static row => row.Status is "done" ? PostgresText.Clean(row.TraceId) : null, Texts),
            Column(rows, static row => row.UpdatedAt.UtcDateTime, Times),
            Column(rows, static row => row.ExpiresAt.UtcDateTime, Times),
        },
    };

    private NpgsqlBatchCommand Upsert(List<AnswerRow> rows) => new(upsertAnswers)
    {
        Parameters =
        {
            Column(rows, static row => PostgresText.Indexed(row.TraceId), Texts),
            Column(rows, static row => PostgresText.Clean(row.Owner), Texts),
            Column(rows, static row => row.HostId is { } id ? PostgresText.Indexed(id) : null, Texts),
            Column(rows, static row => PostgresText.Clean(Encoding.UTF8.GetString(row.Meta)), Texts),
            Column(rows, static row => row.Frames, Bytes),
            Column(rows, static row => row.Request, Bytes),
            Column(rows, static row => row.CreatedAt.UtcDateTime, Times),
            Column(rows, static row => row.ExpiresAt.UtcDateTime, Times),
        },
    };

    private NpgsqlBatchCommand Upsert(List<CompletionRow> rows) => new(upsertCompletions)
    {
        Parameters =
        {
            Column(rows, static row => PostgresText.Clean(row.Owner), Texts),
            Column(rows, static row => PostgresText.Indexed(row.RequestId), Texts),
            Column(rows, static row => PostgresText.Clean(row.Model), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Content), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.ToolCalls), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Reasoning), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.FinishReason), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Winner), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Usage), Texts),
            Column(rows, static row => row.Events, Bytes),
            Column(rows, static row => row.CreatedAt.UtcDateTime, Times),
            Column(rows, static row => row.ExpiresAt.UtcDateTime, Times),
        },
    };

    private NpgsqlBatchCommand Upsert(List<ArtifactRow> rows) => new(upsertArtifacts)
    {
        Parameters =
        {
            Column(rows, static row => PostgresText.Indexed(row.TraceId), Texts),
            Column(rows, static row => PostgresText.Indexed(row.Key), Texts),
            Column(rows, static row => PostgresText.Clean(row.Owner), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.MediaType), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Uri), Texts),
            Column(rows, static row => PostgresText.CleanOrNull(row.Value), Texts),
            Column(rows, static row => row.CreatedAt.UtcDateTime, Times),
            Column(rows, static row => row.ExpiresAt?.UtcDateTime, Times),
        },
    };

    private static NpgsqlParameter<TValue[]> Column<TRow, TValue>(List<TRow> rows, Func<TRow, TValue> value, NpgsqlDbType type) =>
        new() { TypedValue = [.. rows.Select(value)], NpgsqlDbType = type };
}
