using Proxy.Knowledge.Index;

namespace Proxy.Knowledge;

/// <summary>
/// Keeps workspaces, files, chunks, postings and vectors. Every method is one transaction: all of it or nothing, also after the end of the process. Several
/// processes may use one store. Failures are <see cref="KnowledgeStoreException"/>. Ids that do not exist are answered with null, false or an empty list. The
/// database is made at the first write; before that, everything is empty. What has expired is not returned, and is deleted with one of the next writes or
/// claims.
/// </summary>
internal interface IKnowledgeStore : IAsyncDisposable
{
    ValueTask<IReadOnlyList<Workspace>> WorkspacesAsync(CancellationToken cancellation);

    ValueTask<Workspace?> WorkspaceAsync(string id, CancellationToken cancellation);

    /// <summary>
    /// Adds the workspace, or changes its descriptive members and its vector sets. Vectors of sets that it no longer names are deleted, except that
    /// <see cref="Workspace.Vectors"/> of stored chunks are only replaced by <see cref="SwitchAsync"/>: a caller may save a copy that it read before they were
    /// there. A copy of a workspace that was deleted since (its <see cref="Workspace.Version"/> is not 0) does not bring it back.
    /// </summary>
    ValueTask SaveAsync(Workspace workspace, CancellationToken cancellation);

    /// <summary>Deletes the workspace and all that is in it, but not the files.</summary>
    ValueTask<bool> DeleteWorkspaceAsync(string id, CancellationToken cancellation);

    /// <summary>
    /// Stores a file. The content is read to its end; nothing of it is visible before all of it is stored. The row that is returned has the length and the
    /// digest that were found.
    /// </summary>
    ValueTask<KnowledgeFile> AddFileAsync(KnowledgeFile file, Stream content, CancellationToken cancellation);

    ValueTask<KnowledgeFile?> FileAsync(string id, CancellationToken cancellation);

    /// <param name="owner">Null: the files of all owners.</param>
    /// <param name="purpose">Null: of every purpose.</param>
    /// <param name="page">Which of them.</param>
    /// <param name="cancellation">Ends the read.</param>
    ValueTask<IReadOnlyList<KnowledgeFile>> FilesAsync(string? owner, string? purpose, Page page, CancellationToken cancellation);

    /// <summary>Writes the file's content to a stream. False: there is no such file, and nothing was written.</summary>
    ValueTask<bool> CopyFileAsync(string id, Stream to, CancellationToken cancellation);

    /// <summary>Deletes the file, its content, and its chunks in every workspace.</summary>
    ValueTask<bool> DeleteFileAsync(string id, CancellationToken cancellation);

    /// <summary>
    /// Puts a file into a workspace, to be read: it begins as <see cref="FileStatus.InProgress"/> without chunks. If the workspace has it already, its chunks
    /// are deleted and it begins anew. Returns the row with its ordinal.
    /// </summary>
    ValueTask<WorkspaceFile> AttachAsync(WorkspaceFile file, CancellationToken cancellation);

    ValueTask<WorkspaceFile?> AttachedAsync(string workspace, string fileId, CancellationToken cancellation);

    /// <summary>The files of a workspace, by state and batch if these are not null.</summary>
    ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(
        string workspace, FileStatus? status, string? batch, Page page, CancellationToken cancellation);

    /// <summary>The files of these ordinals, in no particular order.</summary>
    ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(string workspace, IReadOnlyCollection<int> ordinals, CancellationToken cancellation);

    /// <summary>The newest completed or running row of each path that came from the command line.</summary>
    ValueTask<IReadOnlyList<WorkspaceFile>> PathsAsync(string workspace, CancellationToken cancellation);

    ValueTask<FileCounts> CountsAsync(string workspace, string? batch, CancellationToken cancellation);

    /// <summary>
    /// Changes the status and the error of a row that is in progress, and ends its claim. It does nothing if the row is no longer in progress, is gone, or was
    /// attached again since it was read.
    /// </summary>
    ValueTask SaveAsync(WorkspaceFile file, CancellationToken cancellation);

    /// <summary>Changes the attributes of a file, whatever its status is. Returns the row as it is then; null: there is none.</summary>
    ValueTask<WorkspaceFile?> SetAttributesAsync(string workspace, string fileId, string attributes, CancellationToken cancellation);

    /// <summary>Removes a file from a workspace, with its chunks, postings and vectors. The file itself stays.</summary>
    ValueTask<bool> DetachAsync(string workspace, string fileId, CancellationToken cancellation);

    ValueTask AddBatchAsync(FileBatch batch, CancellationToken cancellation);

    ValueTask<FileBatch?> BatchAsync(string workspace, string id, CancellationToken cancellation);

    /// <summary>Marks the batch as cancelled, and those of its files that are in progress.</summary>
    ValueTask<bool> CancelBatchAsync(string workspace, string id, CancellationToken cancellation);

    /// <summary>
    /// The oldest file that is in progress and that no worker has claimed, by time of creation, then by its id, then by its workspace's id. It is claimed for
    /// the worker until the lease ends. Null: there is none. Every <see cref="AppendAsync"/> renews the lease.
    /// </summary>
    ValueTask<WorkspaceFile?> ClaimAsync(string worker, TimeSpan lease, CancellationToken cancellation);

    /// <summary>
    /// Appends chunks to a file that is in progress. False, and nothing is stored, if another worker has the claim, if the file has another number of chunks
    /// than <paramref name="from"/>, or if it is no longer in progress. With <paramref name="isLast"/> it is then completed, and rows of its
    /// <see cref="WorkspaceFile.Path"/> that were attached before it are removed with their chunks. Later ones stay: they replace it when they are completed.
    /// </summary>
    ValueTask<bool> AppendAsync(
        string worker, TimeSpan lease, WorkspaceFile file, int from, IReadOnlyList<NewChunk> chunks, bool isLast, CancellationToken cancellation);

    /// <summary>Gives a claim back, so that the file can be claimed again at once.</summary>
    ValueTask ReleaseAsync(string worker, WorkspaceFile file, CancellationToken cancellation);

    /// <summary>Ends every lease: for a process that knows that no other is at work, so that files of one that was killed need not wait.</summary>
    ValueTask EndLeasesAsync(CancellationToken cancellation);

    /// <summary>Chunks of one file, by number.</summary>
    ValueTask<IReadOnlyList<StoredChunk>> ChunksOfAsync(string workspace, string fileId, int from, int most, CancellationToken cancellation);

    /// <summary>Chunks of the whole workspace by slot, from the given slot on: for computing the vectors of another model.</summary>
    ValueTask<IReadOnlyList<StoredChunk>> ChunksFromAsync(string workspace, int slot, int most, CancellationToken cancellation);

    /// <summary>Adds vectors to a set of <see cref="Workspace.Building"/>.</summary>
    ValueTask FillAsync(string workspace, VectorSet set, IReadOnlyList<(int Slot, float[] Vector)> vectors, CancellationToken cancellation);

    /// <summary>
    /// If every chunk has a vector in each set of <see cref="Workspace.Building"/>, makes them the ones that searches use, deletes the old ones and returns -1.
    /// Else returns a slot whose chunk lacks one, for example that of a file that was added in the meantime.
    /// </summary>
    ValueTask<int> SwitchAsync(string workspace, CancellationToken cancellation);

    /// <summary>The workspace's index as it is now; null if there is no such workspace. Dispose it after the search.</summary>
    ValueTask<IWorkspaceIndex?> OpenAsync(string workspace, CancellationToken cancellation);

    /// <summary>Deletes what belongs to an owner: files, workspaces and their content. Returns how many of both.</summary>
    ValueTask<int> ForgetAsync(string owner, CancellationToken cancellation);

    /// <summary>Writes a consistent copy into an empty folder while the store is used. Stores that another program backs up say so by an exception.</summary>
    ValueTask BackupAsync(string folder, CancellationToken cancellation);

    /// <summary>What stands in the way of using the store, for <c>proxy check</c>; empty: nothing.</summary>
    ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation);
}

/// <summary>The store failed: the disk is full, the database is away. The message is for the operator.</summary>
internal sealed class KnowledgeStoreException(string message, Exception? inner = null) : Exception(message, inner);
