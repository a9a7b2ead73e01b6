namespace Proxy.Store.Sqlite;

/// <summary>
/// The tables. A database has had the first <c>user_version</c> of the scripts. A script is never changed once it was released; a new one is added, with
/// which the previous version's code must still work: during an upgrade both have the file open.
/// </summary>
internal static class SqliteSchema
{
    public static readonly string[] Scripts =
    [
        """
        create table exchanges(
            trace_id text primary key,
            correlation_id text not null,
            session text,
            owner text not null,
            req_id text,
            surface text not null,
            model text not null,
            route text not null,
            workspace text,
            pipeline text,
            winner text,
            backend text,
            status text not null,
            input_tokens integer,
            output_tokens integer,
            started_at integer not null, -- times are milliseconds since 1970
            first_token_ms real,
            duration_ms real not null,
            request blob,
            answer blob);
        create table idempotency_log(
            owner text not null,
            key text not null,
            trace_id text not null,
            req_id text,
            digest text not null,
            status text not null,
            result text, -- the trace id of the row of answers
            updated_at integer not null,
            expires_at integer not null,
            primary key (owner, key));
        create table completions_cache(
            owner text not null,
            req_id text not null,
            model text not null,
            content text,
            tool_calls text,
            reasoning text,
            finish_reason text,
            winner text,
            usage text,
            events blob not null,
            created_at integer not null,
            expires_at integer not null,
            primary key (owner, req_id));
        create table usage_daily(
            day text not null, -- 2026-12-31, UTC
            owner text not null,
            model text not null,
            requests integer not null,
            input_tokens integer not null,
            output_tokens integer not null,
            primary key (day, owner, model)) without rowid;
        create table answers(
            trace_id text primary key,
            owner text not null,
            host_id text,
            meta blob not null,
            frames blob not null,
            request blob,
            created_at integer not null,
            expires_at integer not null);
        create index answers_host_id on answers(owner, host_id) where host_id is not null;
        create index answers_expires_at on answers(expires_at);
        create index completions_cache_expires_at on completions_cache(expires_at);
        create index idempotency_log_expires_at on idempotency_log(expires_at);
        """,
        """
        create table key_leases(
            owner text not null,
            key text not null,
            holder text not null, -- the trace id of the call that generates the answer
            digest text not null,
            expires_at integer not null,
            primary key (owner, key));
        """,
        """
        create table artifacts(
            trace_id text not null,
            key text not null,
            owner text not null,
            media_type text,
            uri text,
            value text, -- JSON
            created_at integer not null,
            expires_at integer, -- null: never
            primary key (trace_id, key));
        create index artifacts_owner on artifacts(owner);
        """,
    ];

    public static readonly string[] Tables = ["exchanges", "idempotency_log", "completions_cache", "usage_daily", "answers", "key_leases", "artifacts"];
}
