using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Proxy.Documents;
using Proxy.Knowledge.Analysis;
using Proxy.Vectors;

namespace Proxy.Knowledge.Ingest;

/// <summary>
/// Reads the files that were put into workspaces, one after the other, in the background: text, chunks, vectors, index. What is stored survives the end of the
/// process; a file that was half read is continued, by this process or by another one on the same store.
/// </summary>
internal sealed class IngestQueue(
    IKnowledgeStore store, KnowledgeModels models, Reembedding reembedding, ITextAnalyzer analyzer, ILogger log, TimeProvider time) : IDisposable
{
    /// <summary>Chunks that are embedded in one call. A client's call waits for at most one such batch.</summary>
    private const int EmbeddedAtOnce = 32;

    /// <summary>Chunks that are stored in one transaction.</summary>
    private const int StoredAtOnce = 128;

    /// <summary>How long a file stays claimed without a sign of life. Storing chunks renews it.</summary>
    private static readonly TimeSpan Lease = TimeSpan.FromMinutes(2);

    /// <summary>How often the store is asked for files that other processes left.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(15);

    /// <summary>How long it waits after a failure that is not the file's fault.</summary>
    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(2);

    /// <summary>How long a file waits whose model could not be used.</summary>
    private static readonly TimeSpan Postponement = TimeSpan.FromSeconds(5);

    private readonly Queue<(WorkspaceFile File, DateTimeOffset Until)> postponed = [];
    private readonly SemaphoreSlim signal = new(0, 1);
    private readonly string worker = $"{Environment.MachineName}:{Environment.ProcessId}:{Guid.NewGuid():N}";
    private long files;
    private long failed;
    private long chunks;

    /// <summary>The files that were read, those of them that could not be, and the chunks that were stored, since the start.</summary>
    public (long Files, long Failed, long Chunks) Done => (Volatile.Read(ref files), Volatile.Read(ref failed), Volatile.Read(ref chunks));

    /// <summary>Why files wait at present although they could be read; null: nothing is in the way.</summary>
    public string? Problem { get; private set; }

    public void Dispose() => signal.Dispose();

    /// <summary>There may be a file to read.</summary>
    public void Wake()
    {
        try
        {
            if (signal.CurrentCount == 0) signal.Release();
        }
        catch (Exception e) when (e is SemaphoreFullException or ObjectDisposedException)
        {
            // Another caller woke it at the same moment, or the process ends.
        }
    }

    /// <summary>Reads files until it is cancelled.</summary>
    /// <param name="isAlone">Whether no other process reads files into the store: what one that was killed had claimed is then read at once.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task RunAsync(bool isAlone, CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                if (isAlone) await store.EndLeasesAsync(cancellation).ConfigureAwait(false);
                isAlone = false; // its own leases stay
                await ReleasePostponedAsync().ConfigureAwait(false);
                // Files first: a search can find nothing of them before they are read, and the old vectors of a workspace serve until the new ones are there.
                while (await ReadNextAsync(cancellation).ConfigureAwait(false) || await reembedding.StepAsync(cancellation).ConfigureAwait(false))
                {
                }

                if (postponed.Count == 0) Problem = null;
                await signal.WaitAsync(postponed.Count == 0 ? Pause : AfterFailure, cancellation).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                return;
            }
            catch (Exception problem)
            {
                // Whatever it is, other files have to be read: the loop ends with the process alone.
                var isExpected = problem is KnowledgeStoreException or IngestException;
                if (Problem != problem.Message) log.IngestWaits(isExpected ? problem.Message : problem.ToString());
                Problem = problem.Message;
                await Task.Delay(AfterFailure, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>
    /// Reads one file that waits. False: none does. A file that cannot be read is marked as failed; other failures are thrown, and the file waits on.
    /// </summary>
    public async Task<bool> ReadNextAsync(CancellationToken cancellation)
    {
        if (await store.ClaimAsync(worker, Lease, cancellation).ConfigureAwait(false) is not { } file) return false;
        var began = Stopwatch.GetTimestamp();
        try
        {
            if (await ReadAsync(file, cancellation).ConfigureAwait(false) is { } count)
                log.FileIngested(file.Workspace, file.Name, count, Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            Interlocked.Increment(ref files);
        }
        catch (DocumentException problem)
        {
            Interlocked.Increment(ref failed);
            log.FileNotIngested(file.Workspace, file.Name, problem.Message);
            var code = problem.Fault is DocumentFault.Unsupported ? "unsupported_file" : "invalid_file";
            await FailAsync(file, code, problem.Message, cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is IngestException)
        {
            // Other files may be readable: this one stays claimed until it is tried again.
            postponed.Enqueue((file, time.GetUtcNow() + Postponement));
            throw;
        }
        catch (Exception problem) when (problem is not (OperationCanceledException or KnowledgeStoreException))
        {
            Interlocked.Increment(ref failed);
            log.IngestBug(problem, file.Workspace, file.Name);
            const string Reason = "the file cannot be read because of a fault of the proxy; its log says more";
            await FailAsync(file, "server_error", Reason, cancellation).ConfigureAwait(false);
        }
        catch
        {
            await ReleaseAsync(file).ConfigureAwait(false);
            throw;
        }

        return true;
    }

    /// <summary>Notes that a file cannot be read, unless its client has cancelled it or put it in again in the meantime.</summary>
    private ValueTask FailAsync(WorkspaceFile file, string code, string reason, CancellationToken cancellation) =>
        store.SaveAsync(file with { Status = FileStatus.Failed, ErrorCode = code, Error = reason }, cancellation);

    /// <summary>Lets files be claimed again whose time has come.</summary>
    private async Task ReleasePostponedAsync()
    {
        while (postponed.TryPeek(out var next) && next.Until <= time.GetUtcNow()) await ReleaseAsync(postponed.Dequeue().File).ConfigureAwait(false);
    }

    /// <summary>The number of chunks; null if the file or its workspace was deleted in the meantime, or another process reads it.</summary>
    private async Task<int?> ReadAsync(WorkspaceFile file, CancellationToken cancellation)
    {
        if (await WorkspaceAsync(file.Workspace, cancellation).ConfigureAwait(false) is not { } workspace) return null;
        if (await TextAsync(file, cancellation).ConfigureAwait(false) is not { } document) return null;
        var embedders = Embedders(workspace);
        var limits = ChunkRules.Of(models, workspace, file.ChunkTokens, file.OverlapTokens);
        var (number, pending) = (0, new List<Chunk>());
        var stored = file.Chunks; // a process that ended stored these
        await foreach (var chunk in Chunker.CutAsync(document, limits, Counter(embedders), cancellation).ConfigureAwait(false))
        {
            if (number++ < file.Chunks) continue;
            pending.Add(chunk);
            if (pending.Count < StoredAtOnce) continue;
            if (!await StoreAsync(file, embedders, stored, pending, isLast: false, cancellation).ConfigureAwait(false)) return null;
            stored += pending.Count;
            pending.Clear();
        }

        return await StoreAsync(file, embedders, stored, pending, isLast: true, cancellation).ConfigureAwait(false) ? number : null;
    }

    /// <summary>The workspace, which gets its vector sets with the first file.</summary>
    private async Task<Workspace?> WorkspaceAsync(string id, CancellationToken cancellation)
    {
        if (await store.WorkspaceAsync(id, cancellation).ConfigureAwait(false) is not { } workspace) return null;
        if (workspace.Vectors.Count > 0 || workspace.Chunks > 0 || models.Embedders.Count == 0) return workspace;
        var sets = new List<VectorSet>();
        foreach (var name in models.Embedders)
        {
            var probe = await EmbedAsync(Embedder(name), ["dimensions"], cancellation).ConfigureAwait(false);
            sets.Add(new((sets.Count + 1).ToString(System.Globalization.CultureInfo.InvariantCulture), name, probe[0].Length));
        }

        workspace = workspace with { Vectors = sets };
        await store.SaveAsync(workspace, cancellation).ConfigureAwait(false);
        return workspace;
    }

    private async Task<DocumentText?> TextAsync(WorkspaceFile file, CancellationToken cancellation)
    {
        // Readers of PDF and Office files jump about in the file, so it is put into one without a name: nothing of it remains if the process ends.
        var path = Path.Combine(Path.GetTempPath(), $"proxy-{Guid.NewGuid():N}");
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None, Options = FileOptions.Asynchronous,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        };
        try
        {
            var content = new FileStream(path, options);
            await using var closed = content.ConfigureAwait(false);
            File.Delete(path);
            if (!await store.CopyFileAsync(file.FileId, content, cancellation).ConfigureAwait(false))
            {
                // Mostly its row is gone as well. One that was put in at the moment of the deletion would wait for ever.
                await FailAsync(file, "invalid_file", "the file was deleted before it was read", cancellation).ConfigureAwait(false);
                return null;
            }

            content.Position = 0;
            return await Task.Run(() => DocumentReader.Read(content, file.Name, cancellation), cancellation).ConfigureAwait(false);
        }
        catch (DocumentException problem) when (problem.Fault is DocumentFault.Busy)
        {
            throw new IngestException(problem.Message, problem);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            throw new IngestException($"{file.Name} cannot be unpacked into {Path.GetTempPath()}: {problem.Message}", problem);
        }
    }

    private async Task<bool> StoreAsync(
        WorkspaceFile file, List<IEmbedder> embedders, int from, List<Chunk> added, bool isLast, CancellationToken cancellation)
    {
        var rows = new List<NewChunk>(added.Count);
        foreach (var part in added.Chunk(EmbeddedAtOnce))
        {
            var titles = Array.ConvertAll(part, chunk => ChunkTitle.Of(file.Name, chunk.Heading));
            var texts = part.Zip(titles, static (chunk, title) => ChunkTitle.Embedded(title, chunk.Text)).ToArray();
            var vectors = new List<IReadOnlyList<float[]>>(embedders.Count);
            foreach (var embedder in embedders) vectors.Add(await EmbedAsync(embedder, texts, cancellation).ConfigureAwait(false));
            for (var i = 0; i < part.Length; i++)
            {
                var chunk = part[i];
                rows.Add(new()
                {
                    Text = chunk.Text, Heading = chunk.Heading, PageNumber = chunk.Page, Start = chunk.Start, End = chunk.End, Tokens = chunk.Tokens,
                    Vectors = [.. vectors.Select(set => set[i])], Terms = analyzer.TermsOf(titles[i], chunk.Text),
                });
            }
        }

        if (!await store.AppendAsync(worker, Lease, file, from, rows, isLast, cancellation).ConfigureAwait(false)) return false;
        Interlocked.Add(ref chunks, rows.Count);
        return true;
    }

    private List<IEmbedder> Embedders(Workspace workspace) => [.. workspace.Vectors.Select(set => Embedder(set.Model))];

    private IEmbedder Embedder(string name) => models.Embedder(name)
        ?? throw new IngestException($"nothing serves the embedding model '{name}'");

    private static TokenCounter Counter(List<IEmbedder> embedders) =>
        (texts, cancellation) => TokenCounts.OfAsync(embedders.FirstOrDefault(), texts, cancellation);

    private static async Task<IReadOnlyList<float[]>> EmbedAsync(IEmbedder embedder, string[] texts, CancellationToken cancellation)
    {
        var request = new EmbedRequest([.. texts.Select(static text => new EmbedInput(text))])
        {
            Truncate = true, Normalize = true, Prompt = PromptKind.Document, IsBackground = true,
        };
        var (vectors, error) = await embedder.EmbedAsync(request, cancellation).ConfigureAwait(false);
        if (error is { Kind: VectorErrorKind.TooLong }) // waiting does not make the text shorter
            throw new DocumentException(DocumentFault.Invalid, $"the model '{embedder.Info.Name}' cannot read a part of the file: {error.Message}");
        if (vectors is null) throw new IngestException($"the model '{embedder.Info.Name}' does not embed: {error!.Message}");
        if (vectors.Count != texts.Length) throw new IngestException($"the model '{embedder.Info.Name}' gave {vectors.Count} vectors for {texts.Length} texts");
        return [.. Enumerable.Range(0, vectors.Count).Select(i => vectors[i].ToArray())];
    }

    private async Task ReleaseAsync(WorkspaceFile file)
    {
        try
        {
            await store.ReleaseAsync(worker, file, CancellationToken.None).ConfigureAwait(false);
        }
        catch (KnowledgeStoreException)
        {
            // The lease ends by itself.
        }
    }
}

/// <summary>A file cannot be read at present, and it is not the file's fault: a model is away, the disk is full.</summary>
internal sealed class IngestException(string message, Exception? inner = null) : Exception(message, inner);
