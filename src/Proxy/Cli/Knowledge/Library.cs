using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary>
/// The workspaces that a command works with: those of a running proxy, or of this user's own store. Failures are <see cref="LibraryException"/>.
/// </summary>
internal abstract class Library : IAsyncDisposable
{
    /// <summary>Where they are, for messages.</summary>
    public abstract string Place { get; }

    /// <summary>Whether files are read only while this command runs.</summary>
    public virtual bool IsOwn => false;

    /// <summary>The path by which <see cref="FilesAsync"/> knows a file that was sent with the given one.</summary>
    public virtual string KnownAs(string path) => path;

    public abstract Task<IReadOnlyList<WorkspaceRow>> ListAsync(CancellationToken cancellation);

    /// <summary>A workspace by its name or id.</summary>
    public abstract Task<WorkspaceRow> FindAsync(string workspace, CancellationToken cancellation);

    /// <summary>Finds a workspace, or makes it.</summary>
    public abstract Task<WorkspaceAnswer> EnsureAsync(string workspace, CancellationToken cancellation);

    /// <summary>The files that came from the command line.</summary>
    public abstract Task<IReadOnlyList<KnownFile>> FilesAsync(WorkspaceRow workspace, CancellationToken cancellation);

    /// <summary>Sends a file, which is then read in the background. It replaces the file of its path when it is read.</summary>
    public abstract Task<string> AddAsync(WorkspaceRow workspace, OutgoingFile file, Stream content, CancellationToken cancellation);

    /// <summary>Changes the attributes of a file.</summary>
    public abstract Task LabelAsync(WorkspaceRow workspace, KnownFile file, JsonElement attributes, CancellationToken cancellation);

    /// <summary>Deletes a file.</summary>
    public abstract Task RemoveAsync(WorkspaceRow workspace, string fileId, CancellationToken cancellation);

    /// <summary>Deletes what commands left behind that were ended between two steps.</summary>
    public abstract Task SweepAsync(CancellationToken cancellation);

    public abstract Task<SearchAnswer> SearchAsync(IReadOnlyList<string> workspaces, SearchQuery query, CancellationToken cancellation);

    /// <summary>Deletes a workspace and the files that the command line put into it.</summary>
    public abstract Task DeleteAsync(WorkspaceRow workspace, CancellationToken cancellation);

    /// <summary>Has the vectors computed anew, with the models that are configured.</summary>
    public abstract Task<WorkspaceRow> ReembedAsync(WorkspaceRow workspace, CancellationToken cancellation);

    /// <summary>Writes a copy of the whole store into an empty folder.</summary>
    public abstract Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation);

    public virtual ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A file to send.</summary>
/// <param name="Path">What it is known by in the workspace.</param>
/// <param name="Name">Its name, without folders.</param>
/// <param name="Sha256">Of the content as it was read first.</param>
/// <param name="Attributes">A JSON object.</param>
internal sealed record OutgoingFile(string Path, string Name, string Sha256, JsonElement Attributes);

internal sealed record SearchQuery(string Text, int Most, bool Trace)
{
    public JsonElement? Filter { get; init; }

    /// <summary>Null: if a reranker is configured.</summary>
    public bool? Rerank { get; init; }
}

/// <summary>What was asked of a library cannot be done. The message is for the user.</summary>
internal sealed class LibraryException(ExitCode code, string message) : Exception(message)
{
    public LibraryException(string message)
        : this(ExitCode.Failed, message)
    {
    }

    public ExitCode Code => code;

    /// <summary>Whether it is the file that was refused, and others may be taken.</summary>
    public bool IsOfFile { get; init; }
}
