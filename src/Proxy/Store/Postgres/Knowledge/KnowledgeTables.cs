namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// The tables of documents. They need no extension. The vectors of a set are in a table of their own, which is made when the set is named: see
/// <see cref="PostgresVectors"/>.
/// </summary>
internal static class KnowledgeTables
{
    public const string Script = """
        create table {0}.workspaces (
            number integer generated always as identity primary key, -- what the other tables call it
            id text collate "C" not null unique,
            owner text not null,
            name text not null,
            description text,
            metadata json not null,
            created_at timestamptz not null,
            last_active_at timestamptz not null,
            expires_after_days integer,
            vectors json not null, -- [{"id","model","dimensions"}]: the sets that searches use
            building json not null, -- those that will replace them
            last_set bigint not null default 0, -- the highest id of a set that there was
            version bigint not null default 1, -- rises when searches can find something else
            revision bigint not null default 0, -- rises with every change of the slots
            analyzer integer not null, -- the version of the analyser that made the postings
            chunks bigint not null default 0,
            text_bytes bigint not null default 0,
            vector_bytes integer not null, -- of one chunk, in all sets of vectors
            slots integer not null default 0, -- one more than the highest that was ever used
            next_ordinal integer not null default 1);
        create index workspaces_owner on {0}.workspaces (owner);
        create table {0}.files (
            id text collate "C" primary key,
            owner text not null,
            name text not null,
            purpose text not null,
            bytes bigint not null,
            sha256 text not null,
            created_at timestamptz not null,
            expires_at timestamptz,
            is_complete boolean not null,
            written_at timestamptz not null); -- when its last part came
        create index files_owner on {0}.files (owner, created_at, id);
        create index files_expires_at on {0}.files (expires_at) where expires_at is not null;
        create index files_incomplete on {0}.files (written_at) where not is_complete;
        create table {0}.file_parts (
            file_id text collate "C" not null references {0}.files on delete cascade,
            part integer not null, -- each but the last has 1 MiB
            data bytea not null,
            primary key (file_id, part));
        alter table {0}.file_parts alter column data set storage external; -- not compressed
        create table {0}.workspace_files (
            workspace integer not null references {0}.workspaces on delete cascade,
            file_id text collate "C" not null,
            ordinal integer not null,
            name text not null,
            path text,
            sha256 text not null,
            status smallint not null, -- 0 in progress, 1 completed, 2 failed, 3 cancelled
            error_code text,
            error text,
            attributes json not null,
            chunk_tokens integer,
            overlap_tokens integer,
            batch text,
            created_at timestamptz not null,
            chunks integer not null default 0,
            text_bytes bigint not null default 0,
            worker text, -- who has the claim
            leased_until timestamptz,
            primary key (workspace, file_id));
        create unique index workspace_files_ordinal on {0}.workspace_files (workspace, ordinal);
        create index workspace_files_created_at on {0}.workspace_files (workspace, created_at, file_id);
        create index workspace_files_file on {0}.workspace_files (file_id);
        create index workspace_files_waiting on {0}.workspace_files (created_at, file_id) where status = 0;
        create table {0}.file_batches (
            id text primary key,
            workspace integer not null references {0}.workspaces on delete cascade,
            created_at timestamptz not null,
            is_cancelled boolean not null);
        create index file_batches_workspace on {0}.file_batches (workspace);
        create table {0}.chunks (
            workspace integer not null,
            slot integer not null,
            ordinal integer not null, -- of the file
            number integer not null, -- in the file, from 0
            text text not null,
            heading text not null,
            page integer,
            starts integer not null,
            ends integer not null,
            tokens integer not null,
            primary key (workspace, slot));
        create unique index chunks_number on {0}.chunks (workspace, ordinal, number);
        create table {0}.free_slots ( -- below workspaces.slots, and without a chunk
            workspace integer not null,
            slot integer not null,
            primary key (workspace, slot));
        create table {0}.slot_blocks (
            workspace integer not null,
            block integer not null,
            revision bigint not null, -- the workspace's when the block was changed
            data bytea not null,
            primary key (workspace, block));
        create table {0}.postings (
            workspace integer not null,
            field smallint not null, -- 0 title and text, 1 title
            term text collate "C" not null,
            block integer not null,
            data bytea not null,
            primary key (workspace, field, term, block)) with (fillfactor = 80); -- rows are changed often, and so within their page
        alter table {0}.postings alter column data set storage external;
        alter table {0}.slot_blocks alter column data set storage external;
        """;
}
