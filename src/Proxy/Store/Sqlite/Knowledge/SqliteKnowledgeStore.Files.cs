using System.Security.Cryptography;
using Proxy.Knowledge;

namespace Proxy.Store.Sqlite.Knowledge;

/// <summary>The uploaded files.</summary>
internal sealed partial class SqliteKnowledgeStore
{
    public async ValueTask<KnowledgeFile> AddFileAsync(KnowledgeFile file, Stream content, CancellationToken cancellation)
    {
        var buffer = new byte[FileTable.PartBytes];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (bytes, parts) = (0L, 0);
        try
        {
            while (true)
            {
                var length = await content.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
                hash.AppendData(buffer, 0, length);
                bytes += length;
                if (length < buffer.Length)
                {
                    var stored = file with { Bytes = bytes, Sha256 = Convert.ToHexStringLower(hash.GetHashAndReset()) };
                    await AddPartAsync(file.Id, parts, buffer.AsMemory(0, length), stored, cancellation).ConfigureAwait(false);
                    await PruneAsync(cancellation).ConfigureAwait(false);
                    return stored;
                }

                await AddPartAsync(file.Id, parts++, buffer, null, cancellation).ConfigureAwait(false);
            }
        }
        catch (Exception) when (parts > 0) // whatever ended the upload: nothing of it stays
        {
            await DropUploadAsync(file.Id).ConfigureAwait(false);
            throw;
        }
    }

    public ValueTask<KnowledgeFile?> FileAsync(string id, CancellationToken cancellation) =>
        database.ReadAsync(null, connection => FileTable.Find(connection, id, Now), cancellation);

    public ValueTask<IReadOnlyList<KnowledgeFile>> FilesAsync(string? owner, string? purpose, Page page, CancellationToken cancellation) =>
        database.ReadAsync<IReadOnlyList<KnowledgeFile>>([], connection => FileTable.List(connection, owner, purpose, page, Now), cancellation);

    public async ValueTask<bool> CopyFileAsync(string id, Stream to, CancellationToken cancellation)
    {
        if (await FileAsync(id, cancellation).ConfigureAwait(false) is not { } file) return false;
        for (var (number, left) = (0, file.Bytes); left > 0; number++)
        {
            var at = number;
            var part = await database.ReadAsync(null, connection => FileTable.Part(connection, id, at), cancellation).ConfigureAwait(false)
                ?? throw new KnowledgeStoreException($"the file {id} was deleted while it was read");
            await to.WriteAsync(part, cancellation).ConfigureAwait(false);
            left -= part.Length;
        }

        return true;
    }

    public async ValueTask<bool> DeleteFileAsync(string id, CancellationToken cancellation)
    {
        if (!database.Exists) return false;
        var deleted = await database.DeleteAsync(connection => DeleteFile(connection, id), cancellation).ConfigureAwait(false);
        if (deleted) await CleanAsync().ConfigureAwait(false);
        return deleted;
    }

    private bool DeleteFile(SqliteConnection connection, string id)
    {
        foreach (var attached in AttachedTable.ByFile(connection, id)) Detach(connection, attached);
        return FileTable.Delete(connection, id);
    }

    /// <summary>Stores a part; with the row of the file it is the last, and the file becomes visible.</summary>
    private async ValueTask AddPartAsync(string id, int number, ReadOnlyMemory<byte> content, KnowledgeFile? file, CancellationToken cancellation) =>
        await database.WriteAsync(
            connection =>
            {
                if (number > 0 && !FileTable.HasUpload(connection, id)) throw new IOException($"the upload of {id} was given up because it paused too long");
                if (content.Length > 0) FileTable.AddPart(connection, id, number, content.Span);
                if (file is null) FileTable.TouchUpload(connection, id, Now);
                else FileTable.Add(connection, file);
                return true;
            }, cancellation).ConfigureAwait(false);

    private async ValueTask DropUploadAsync(string id)
    {
        try
        {
            await database.WriteAsync(
                connection =>
                {
                    if (FileTable.HasUpload(connection, id)) FileTable.DeleteUpload(connection, id);
                    return true;
                }, CancellationToken.None).ConfigureAwait(false);
        }
        catch (KnowledgeStoreException)
        {
            // The failure that ended the upload is told. What is left is removed as abandoned.
        }
    }
}
