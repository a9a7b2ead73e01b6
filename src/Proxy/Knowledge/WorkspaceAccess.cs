using System.Security.Cryptography;
using Proxy.Chat;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;

namespace Proxy.Knowledge;

/// <summary>What a new workspace is to have; the rest is given.</summary>
internal sealed record NewWorkspace(string Name)
{
    public string? Description { get; init; }
    public string Metadata { get; init; } = "{}";
    public int? ExpiresAfterDays { get; init; }
}

/// <summary>How a file is put into a workspace.</summary>
internal sealed record NewAttachment
{
    /// <summary>A JSON object of texts, numbers and truth values.</summary>
    public string Attributes { get; init; } = "{}";
    public int? ChunkTokens { get; init; }
    public int? OverlapTokens { get; init; }
    public string? Batch { get; init; }

    /// <summary>Where the command line found the file.</summary>
    public string? Path { get; init; }
}

/// <summary>
/// Workspaces and files as their callers see them: every method checks what the caller may use. What belongs to others is answered like what does not exist.
/// Failures of the store are <see cref="KnowledgeStoreException"/>.
/// </summary>
internal sealed class WorkspaceAccess(IKnowledgeStore store, IKnowledgeSearch search, IngestQueue ingest, TimeProvider time)
{
    /// <summary>The time after which an unchanged workspace's last activity is written again.</summary>
    private static readonly TimeSpan ActivityStep = TimeSpan.FromMinutes(10);

    /// <summary>The most workspaces of one call: each is opened.</summary>
    public const int MostWorkspaces = 100;

    public IKnowledgeStore Store => store;
    public IKnowledgeSearch Searches => search;

    /// <summary>The workspaces that the caller may use, newest first; expired ones are left out.</summary>
    public async ValueTask<IReadOnlyList<Workspace>> ListAsync(KnowledgeCaller caller, CancellationToken cancellation)
    {
        var all = await store.WorkspacesAsync(cancellation).ConfigureAwait(false);
        var now = time.GetUtcNow();
        return [.. all.Where(w => caller.MayUse(w) && !(w.ExpiresAt <= now))
            .OrderByDescending(static w => w.CreatedAt).ThenByDescending(static w => w.Id, StringComparer.Ordinal)];
    }

    /// <summary>
    /// Finds workspaces by their ids or names, each once. A name finds the caller's own workspace first, then one of the command line, then another that its
    /// key may use; of several of its own or of the command line the newest, of others the oldest, so that no one takes over a name in use.
    /// </summary>
    /// <param name="caller">Who asks.</param>
    /// <param name="idsOrNames">What the client wrote.</param>
    /// <param name="param">The field or header that named them, for the error.</param>
    /// <param name="cancellation">Ends the read.</param>
    public async ValueTask<(IReadOnlyList<Workspace> Found, ProxyError? Error)> FindAsync(
        KnowledgeCaller caller, IEnumerable<string> idsOrNames, string param, CancellationToken cancellation)
    {
        IReadOnlyList<string> asks = [.. idsOrNames.Take(MostWorkspaces + 1)];
        if (asks.Count > MostWorkspaces)
            return ([], new(ProxyErrorKind.InvalidRequest, $"\"{param}\" names more than {MostWorkspaces} workspaces") { Param = param });
        var usable = await ListAsync(caller, cancellation).ConfigureAwait(false);
        var found = new List<Workspace>();
        foreach (var asked in asks)
        {
            var workspace = usable.FirstOrDefault(w => w.Id == asked) ?? Named(caller, usable, asked);
            if (workspace is null) return ([], Unknown(caller, asked, param));
            if (!found.Contains(workspace)) found.Add(workspace);
        }

        return (found, null);
    }

    public async ValueTask<(Workspace? Found, ProxyError? Error)> FindAsync(
        KnowledgeCaller caller, string idOrName, string param, CancellationToken cancellation)
    {
        var (found, error) = await FindAsync(caller, [idOrName], param, cancellation).ConfigureAwait(false);
        return (found.Count == 0 ? null : found[0], error);
    }

    public async ValueTask<Workspace> CreateAsync(KnowledgeCaller caller, NewWorkspace wanted, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        var workspace = new Workspace
        {
            Id = NewId("vs_"), Owner = caller.Owner, Name = wanted.Name, Description = wanted.Description, Metadata = wanted.Metadata,
            CreatedAt = now, LastActiveAt = now, ExpiresAfterDays = wanted.ExpiresAfterDays,
        };
        await store.SaveAsync(workspace, cancellation).ConfigureAwait(false);
        return workspace;
    }

    /// <summary>Changes the descriptive members of a workspace that was found.</summary>
    public ValueTask SaveAsync(Workspace workspace, CancellationToken cancellation) => store.SaveAsync(workspace, cancellation);

    public async ValueTask DeleteAsync(Workspace workspace, CancellationToken cancellation) =>
        await store.DeleteWorkspaceAsync(workspace.Id, cancellation).ConfigureAwait(false);

    /// <summary>Stores a file.</summary>
    /// <param name="caller">Its owner.</param>
    /// <param name="name">The name that the client gave; folders in it are left out.</param>
    /// <param name="purpose">As the client wrote it.</param>
    /// <param name="expiresAt">When it is deleted; null: never.</param>
    /// <param name="content">Read to its end.</param>
    /// <param name="cancellation">Ends the upload; nothing of it stays.</param>
    public ValueTask<KnowledgeFile> UploadAsync(
        KnowledgeCaller caller, string name, string purpose, DateTimeOffset? expiresAt, Stream content, CancellationToken cancellation) =>
        store.AddFileAsync(
            new()
            {
                Id = NewId("file-"), Owner = caller.Owner, Name = PlainName(name), Purpose = purpose, Sha256 = "", CreatedAt = time.GetUtcNow(),
                ExpiresAt = expiresAt,
            },
            content, cancellation);

    /// <summary>A file that the caller may use.</summary>
    public async ValueTask<(KnowledgeFile? Found, ProxyError? Error)> FileAsync(
        KnowledgeCaller caller, string id, string param, CancellationToken cancellation)
    {
        var file = await store.FileAsync(id, cancellation).ConfigureAwait(false);
        return file is not null && (caller.IsAdmin || file.Owner == caller.Owner) && !(file.ExpiresAt <= time.GetUtcNow())
            ? (file, null)
            : (null, new(ProxyErrorKind.UnknownFile, $"there is no file '{ModelName.Shown(id)}'") { Param = param });
    }

    public ValueTask<IReadOnlyList<KnowledgeFile>> FilesAsync(KnowledgeCaller caller, string? purpose, Page page, CancellationToken cancellation) =>
        store.FilesAsync(caller.IsAdmin ? null : caller.Owner, purpose, page, cancellation);

    /// <summary>Puts a file into a workspace; it is read in the background.</summary>
    public async ValueTask<WorkspaceFile> AttachAsync(
        Workspace workspace, KnowledgeFile file, NewAttachment how, CancellationToken cancellation)
    {
        var attached = await store.AttachAsync(
            new()
            {
                Workspace = workspace.Id, FileId = file.Id, Name = file.Name, Path = how.Path, Sha256 = file.Sha256, Attributes = how.Attributes,
                ChunkTokens = how.ChunkTokens, OverlapTokens = how.OverlapTokens, Batch = how.Batch, CreatedAt = time.GetUtcNow(),
            },
            cancellation).ConfigureAwait(false);
        await TouchAsync(workspace, cancellation).ConfigureAwait(false);
        ingest.Wake();
        return attached;
    }

    public async ValueTask<FileBatch> AddBatchAsync(Workspace workspace, CancellationToken cancellation)
    {
        var batch = new FileBatch(NewId("vsfb_"), workspace.Id, time.GetUtcNow(), false);
        await store.AddBatchAsync(batch, cancellation).ConfigureAwait(false);
        return batch;
    }

    /// <summary>Searches workspaces that were found. Returns why it cannot be done, for example that the embedding model is busy.</summary>
    public async ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
        IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation)
    {
        foreach (var workspace in workspaces) await TouchAsync(workspace, cancellation).ConfigureAwait(false);
        return await search.SearchAsync(workspaces, request, cancellation).ConfigureAwait(false);
    }

    /// <summary>An id as OpenAI makes them: a prefix and 24 characters at random.</summary>
    internal static string NewId(string prefix) => prefix + RandomNumberGenerator.GetHexString(24, lowercase: true);

    /// <summary>The last part of a path, without control characters; never empty, nor "." or "..".</summary>
    internal static string PlainName(string name)
    {
        var last = name[(name.LastIndexOfAny(['/', '\\']) + 1)..];
        var plain = string.Concat(last.Where(static c => !char.IsControl(c))).Trim();
        if (plain is "" or "." or "..") return "file";
        return plain.Length <= 255 ? plain : plain[(char.IsLowSurrogate(plain[^255]) ? ^254 : ^255)..];
    }

    /// <param name="caller">Who asks.</param>
    /// <param name="usable">Newest first.</param>
    /// <param name="name">The name.</param>
    private static Workspace? Named(KnowledgeCaller caller, IReadOnlyList<Workspace> usable, string name)
    {
        var best = usable.Where(w => w.Name == name).GroupBy(w => Rank(caller, w)).MinBy(static group => group.Key);
        return best?.Key is 2 ? best.Last() : best?.First();
    }

    private static int Rank(KnowledgeCaller caller, Workspace workspace) =>
        workspace.Owner == caller.Owner ? 0 : workspace.Owner == KnowledgeCaller.LocalOwner ? 1 : 2;

    /// <summary>A name outside of the key's list is refused as such, whether or not it exists; an id is only unknown.</summary>
    private static ProxyError Unknown(KnowledgeCaller caller, string asked, string param)
    {
        var shown = ModelName.Shown(asked);
        return asked.StartsWith("vs_", StringComparison.Ordinal) || caller.MayName(asked)
            ? new(ProxyErrorKind.UnknownWorkspace, $"there is no workspace '{shown}'") { Param = param }
            : new(ProxyErrorKind.Forbidden, $"this key may not use the workspace '{shown}'") { Param = param };
    }

    /// <summary>Notes that the workspace was used, which only matters where it can expire.</summary>
    private async ValueTask TouchAsync(Workspace workspace, CancellationToken cancellation)
    {
        if (workspace.ExpiresAfterDays is null || time.GetUtcNow() - workspace.LastActiveAt < ActivityStep) return;
        await store.SaveAsync(workspace with { LastActiveAt = time.GetUtcNow() }, cancellation).ConfigureAwait(false);
    }
}
