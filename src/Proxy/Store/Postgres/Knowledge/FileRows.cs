using System.Security.Cryptography;
using Npgsql;
using Proxy.Knowledge;
using static Proxy.Store.Postgres.Knowledge.PostgresCommands;

namespace Proxy.Store.Postgres.Knowledge;

/// <summary>
/// Uploaded files. The content is rows of 1 MiB, each written in a transaction of its own, so that a slow client holds no connection; the file's row is
/// invisible until the last of them is there.
/// </summary>
/// <param name="database">The database.</param>
/// <param name="time">Says which uploads were left by processes that ended.</param>
internal sealed class FileRows(KnowledgeDatabase database, TimeProvider time)
{
    private const int PartBytes = 1 << 20;

    private const string Columns = "id, owner, name, purpose, bytes, sha256, created_at, expires_at";

    /// <summary>An upload without a new part for so long is given up.</summary>
    private static readonly TimeSpan Abandoned = TimeSpan.FromHours(1);

    private readonly string schema = database.Schema;

    /// <summary>A condition, at the time of the parameter.</summary>
    private static string IsThere(string now) => $"is_complete and (expires_at is null or expires_at > {now})";

    private NpgsqlParameter Now => Time(time.GetUtcNow());

    public async Task<KnowledgeFile> AddAsync(KnowledgeFile file, Stream content, CancellationToken cancellation)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[PartBytes];
        var (length, part) = (0L, 0);
        try
        {
            for (var isLast = false; !isLast; part++)
            {
                var read = await content.ReadAtLeastAsync(buffer, PartBytes, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
                isLast = read < PartBytes;
                digest.AppendData(buffer, 0, read);
                length += read;
                if (isLast) file = file with { Bytes = length, Sha256 = Convert.ToHexStringLower(digest.GetCurrentHash()) };
                await WriteAsync(file, part, buffer[..read], isLast, cancellation).ConfigureAwait(false);
            }
        }
        catch when (part > 0)
        {
            await TryDeleteAsync(file.Id).ConfigureAwait(false);
            throw;
        }

        return file;
    }

    public async Task<KnowledgeFile?> FindAsync(NpgsqlConnection connection, string id, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"select {Columns} from {schema}.files where id = $1 and {IsThere("$2")}", Read, cancellation, Text(id), Now).ConfigureAwait(false))
        .FirstOrDefault();

    public Task<List<KnowledgeFile>> PageAsync(
        NpgsqlConnection connection, string? owner, string? purpose, Page page, CancellationToken cancellation) =>
        Pages.ReadAsync(
            connection,
            $"select {Columns} from {schema}.files where {IsThere("$3")} and ($1::text is null or owner = $1) and ($2::text is null or purpose = $2)",
            "created_at, id",
            id => $"select o.created_at, o.id from {schema}.files o where o.id = {id} and ($1::text is null or o.owner = $1)", page, Read, cancellation,
            Text(owner), Text(purpose), Now);

    public async Task<bool> CopyAsync(string id, Stream to, CancellationToken cancellation)
    {
        var parts = await database.ReadAsync<long?>(
            null,
            async (connection, cancellation) => (await connection.RowsAsync<long?>(
                $"select bytes from {schema}.files where id = $1 and {IsThere("$2")}", static row => row.GetInt64(0), cancellation, Text(id), Now)
                .ConfigureAwait(false)).FirstOrDefault(),
            cancellation).ConfigureAwait(false) is { } bytes ? (int)((bytes + PartBytes - 1) / PartBytes) : -1;
        for (var part = 0; part < parts; part++)
        {
            var data = await database.ReadAsync(
                null,
                async (connection, cancellation) => (await connection.RowsAsync(
                    $"select data from {schema}.file_parts where file_id = $1 and part = $2", static row => row.GetFieldValue<byte[]>(0), cancellation,
                    Text(id), Of(part)).ConfigureAwait(false)).FirstOrDefault(),
                cancellation).ConfigureAwait(false) ?? throw new KnowledgeStoreException($"the file {id} was deleted while it was read");
            await to.WriteAsync(data, cancellation).ConfigureAwait(false);
        }

        return parts >= 0;
    }

    /// <summary>Deletes the row and its content.</summary>
    public async Task<bool> DeleteAsync(NpgsqlConnection connection, string id, CancellationToken cancellation) =>
        await connection.RunAsync($"delete from {schema}.files where id = $1 and is_complete", cancellation, Text(id)).ConfigureAwait(false) > 0;

    public Task<List<string>> ExpiredAsync(NpgsqlConnection connection, CancellationToken cancellation) =>
        connection.RowsAsync($"select id from {schema}.files where is_complete and expires_at <= $1", static row => row.GetString(0), cancellation, Now);

    public Task<List<string>> OfOwnerAsync(NpgsqlConnection connection, string owner, CancellationToken cancellation) =>
        connection.RowsAsync($"select id from {schema}.files where owner = $1 and is_complete", static row => row.GetString(0), cancellation, Text(owner));

    /// <summary>Writes a part, and the file's row: with the first part, and as complete with the last one.</summary>
    private async Task WriteAsync(KnowledgeFile file, int part, byte[] data, bool isLast, CancellationToken cancellation) => await database.WriteAsync(
        async (connection, cancellation) =>
        {
            if (part == 0)
                await connection.RunAsync(
                    $"delete from {schema}.files where not is_complete and written_at < $1", cancellation, Time(time.GetUtcNow() - Abandoned))
                    .ConfigureAwait(false);
            await connection.RunAsync(
                $"""
                insert into {schema}.files as old ({Columns}, is_complete, written_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                on conflict (id) do update set bytes = excluded.bytes, sha256 = excluded.sha256, is_complete = excluded.is_complete,
                    written_at = excluded.written_at
                where not old.is_complete
                """,
                cancellation, Text(file.Id), Text(file.Owner), Text(file.Name), Text(file.Purpose), Of(file.Bytes), Text(file.Sha256),
                Time(file.CreatedAt), Time(file.ExpiresAt), Of(isLast), Time(time.GetUtcNow())).ConfigureAwait(false);
            if (data.Length > 0)
                await connection.RunAsync(
                    $"insert into {schema}.file_parts (file_id, part, data) values ($1, $2, $3) on conflict do nothing", cancellation, Text(file.Id),
                    Of(part), Of(data)).ConfigureAwait(false);
            if (isLast && await PartsAsync(connection, file.Id, cancellation).ConfigureAwait(false) * (long)PartBytes < file.Bytes)
                throw new KnowledgeStoreException("the upload took so long between two parts that another process gave it up");
            return true;
        },
        cancellation).ConfigureAwait(false);

    private async Task<int> PartsAsync(NpgsqlConnection connection, string id, CancellationToken cancellation) =>
        (await connection.RowsAsync(
            $"select count(*)::integer from {schema}.file_parts where file_id = $1", static row => row.GetInt32(0), cancellation, Text(id))
            .ConfigureAwait(false))[0];

    /// <summary>Removes what there is of an upload that failed. If that fails too, a later upload does so.</summary>
    private async Task TryDeleteAsync(string id)
    {
        try
        {
            await database.WriteAsync(
                (connection, cancellation) => connection.RunAsync($"delete from {schema}.files where id = $1 and not is_complete", cancellation, Text(id)),
                CancellationToken.None).ConfigureAwait(false);
        }
        catch (KnowledgeStoreException)
        {
            // The error of the upload is the one to report.
        }
    }

    private static KnowledgeFile Read(NpgsqlDataReader row) => new()
    {
        Id = row.GetString(0), Owner = row.GetString(1), Name = row.GetString(2), Purpose = row.GetString(3), Bytes = row.GetInt64(4),
        Sha256 = row.GetString(5), CreatedAt = row.Time(6), ExpiresAt = row.IsDBNull(7) ? null : row.Time(7),
    };
}
