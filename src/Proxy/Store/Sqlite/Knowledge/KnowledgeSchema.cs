namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>
/// The tables of <c>knowledge.db</c>. A script is never changed once it was released; a new one is added, with which the previous version's code must still
/// work. A workspace has a number besides its id, never used again; a chunk's id is <c>number × 2^32 + slot</c>. Times are milliseconds since 1970.
/// </summary>
internal static class KnowledgeSchema
{
    public static readonly string[] Scripts =
    [
        """
        create table workspaces(
            number integer primary key autoincrement,
            id text not null unique,
            owner text not null,
            name text not null,
            description text,
            metadata text not null,
            created_at integer not null,
            last_active_at integer not null,
            expires_after_days integer,
            version integer not null, -- rises with what a search can find
            changes integer not null, -- rises with every change of slot_blocks
            chunks integer not null,
            text_bytes integer not null,
            slots integer not null, -- one more than the highest slot ever used
            next_ordinal integer not null,
            last_set integer not null, -- the highest number of a vector set so far
            analyzer integer not null); -- the version that made all postings; 0: there are no chunks yet; -1: several
        create table vector_sets(
            ws integer not null,
            id text not null,
            model text not null,
            dimensions integer not null,
            building integer not null, -- 1: it is being computed
            position integer not null, -- their order
            primary key (ws, id)) without rowid;
        create table files(
            id text primary key,
            owner text not null,
            name text not null,
            purpose text not null,
            bytes integer not null,
            sha256 text not null,
            created_at integer not null,
            expires_at integer) without rowid;
        create index files_owner on files(owner, created_at, id);
        create index files_created_at on files(created_at, id);
        create index files_expires_at on files(expires_at) where expires_at is not null;
        create table file_parts( -- the content, a row a MiB
            file text not null,
            number integer not null,
            content blob not null,
            primary key (file, number));
        create table uploads( -- contents that are not complete; removed when they are not continued
            file text primary key,
            touched_at integer not null) without rowid;
        create table workspace_files(
            id integer primary key autoincrement,
            ws integer not null,
            file text not null,
            ordinal integer not null,
            name text not null,
            path text,
            sha256 text not null,
            status integer not null, -- FileStatus
            error_code text,
            error text,
            attributes text not null,
            chunk_tokens integer,
            overlap_tokens integer,
            batch text,
            created_at integer not null,
            chunks integer not null,
            text_bytes integer not null,
            worker text, -- who reads it
            lease_until integer);
        create unique index workspace_files_file on workspace_files(ws, file);
        create unique index workspace_files_ordinal on workspace_files(ws, ordinal);
        create index workspace_files_created_at on workspace_files(ws, created_at, file);
        create index workspace_files_live on workspace_files(ws, ordinal) where status = 1;
        create index workspace_files_pending on workspace_files(created_at, file) where status = 0;
        create index workspace_files_path on workspace_files(ws, path) where path is not null;
        create index workspace_files_batch on workspace_files(ws, batch) where batch is not null;
        create index workspace_files_by_file on workspace_files(file);
        create table batches(
            ws integer not null,
            id text not null,
            created_at integer not null,
            cancelled integer not null,
            primary key (ws, id)) without rowid;
        create table chunks(
            id integer primary key,
            file integer not null, -- workspace_files.id
            number integer not null,
            name text not null, -- the file's name when it was indexed: a part of the title
            heading text not null,
            page integer,
            start integer not null,
            end integer not null,
            tokens integer not null,
            text text not null);
        create unique index chunks_number on chunks(file, number);
        create table postings( -- PostingBlock; by block first, so that a commit changes neighbouring pages
            ws integer not null,
            block integer not null,
            field integer not null,
            term text not null,
            data blob not null,
            primary key (ws, block, field, term)) without rowid;
        create table slot_blocks( -- SlotTable
            ws integer not null,
            block integer not null,
            changed integer not null, -- workspaces.changes at the last change
            data blob not null,
            primary key (ws, block));
        create table free_slots(
            ws integer not null,
            slot integer not null,
            clean integer not null, -- 0: the vector of the deleted chunk has not been overwritten yet
            primary key (ws, slot)) without rowid;
        create index free_slots_unclean on free_slots(ws, slot) where clean = 0;
        create table dead_sets( -- vector files to delete
            name text primary key) without rowid;
        create table dead_workspaces( -- whose chunks and postings are being deleted
            number integer primary key);
        create table holds( -- while one is there, no slot is used again and no vector is deleted: a backup is copying them
            id text primary key,
            until integer not null) without rowid;
        """,
    ];
}
