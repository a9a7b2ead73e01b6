using System.Security.Cryptography;
using System.Text;
using Proxy.Knowledge;
using Proxy.Knowledge.Index;

namespace Proxy.Tests.Harness;

/// <summary>Knowledge in memory: the port as it is described, simple and slow.</summary>
internal sealed class MemoryKnowledgeStore(TimeProvider? time = null) : IKnowledgeStore
{
    private readonly Lock gate = new();
    private readonly TimeProvider clock = time ?? TimeProvider.System;
    private readonly Dictionary<string, Place> places = [];
    private readonly Dictionary<string, (KnowledgeFile Row, byte[] Content)> files = [];
    private readonly Dictionary<string, FileBatch> batches = [];

    /// <summary>Every call fails with this message, until it is null again.</summary>
    public string? Fails { get; set; }

    /// <summary>How many indexes were opened and are not disposed.</summary>
    public int Open { get; private set; }

    public ValueTask DisposeAsync() => default;

    public ValueTask<IReadOnlyList<Workspace>> WorkspacesAsync(CancellationToken cancellation) =>
        Do<IReadOnlyList<Workspace>>(() => [.. places.Values.Select(static place => place.Seen)], cancellation);

    public ValueTask<Workspace?> WorkspaceAsync(string id, CancellationToken cancellation) => Do(() => places.GetValueOrDefault(id)?.Seen, cancellation);

    public ValueTask SaveAsync(Workspace workspace, CancellationToken cancellation) => Do(() =>
    {
        if (!places.ContainsKey(workspace.Id) && workspace.Version > 0) return;
        if (!places.TryGetValue(workspace.Id, out var place)) places[workspace.Id] = place = new() { Row = workspace with { Version = 1 } };
        var old = place.Row;
        // The caller's copy may be old: sets that have vectors are only replaced by a switch.
        var keeps = old.Vectors.Count > 0 && place.Entries.Any();
        workspace = workspace with { Vectors = keeps ? old.Vectors : workspace.Vectors };
        place.Row = workspace with { Version = old.Version };
        if (!old.Vectors.SequenceEqual(workspace.Vectors)) place.Changed();
        place.DropVectors();
    }, cancellation);

    public ValueTask<bool> DeleteWorkspaceAsync(string id, CancellationToken cancellation) => Do(() => DeletePlace(id), cancellation);

    public async ValueTask<KnowledgeFile> AddFileAsync(KnowledgeFile file, Stream content, CancellationToken cancellation)
    {
        using var copy = new MemoryStream();
        await content.CopyToAsync(copy, cancellation);
        return await Do(() =>
        {
            var bytes = copy.ToArray();
            var row = file with { Bytes = bytes.Length, Sha256 = Convert.ToHexStringLower(SHA256.HashData(bytes)) };
            files[file.Id] = (row, bytes);
            return row;
        }, cancellation);
    }

    public ValueTask<KnowledgeFile?> FileAsync(string id, CancellationToken cancellation) =>
        Do(() => files.TryGetValue(id, out var file) ? file.Row : null, cancellation);

    public ValueTask<IReadOnlyList<KnowledgeFile>> FilesAsync(string? owner, string? purpose, Page page, CancellationToken cancellation) => Do(() =>
        Paged(
            files.Values.Select(static file => file.Row).Where(file => (owner is null || file.Owner == owner) && (purpose is null || file.Purpose == purpose)),
            static file => (file.CreatedAt, file.Id), page),
        cancellation);

    public async ValueTask<bool> CopyFileAsync(string id, Stream to, CancellationToken cancellation)
    {
        var content = await Do(() => files.TryGetValue(id, out var file) ? file.Content : null, cancellation);
        if (content is null) return false;
        await to.WriteAsync(content, cancellation);
        return true;
    }

    public ValueTask<bool> DeleteFileAsync(string id, CancellationToken cancellation) => Do(() => DeleteContent(id), cancellation);

    public ValueTask<WorkspaceFile> AttachAsync(WorkspaceFile file, CancellationToken cancellation) => Do(() =>
    {
        if (!places.TryGetValue(file.Workspace, out var place)) throw new KnowledgeStoreException($"there is no workspace '{file.Workspace}'");
        place.Remove(file.FileId);
        var row = file with
        {
            Ordinal = ++place.LastOrdinal, Status = FileStatus.InProgress, ErrorCode = null, Error = null, Chunks = 0, UsageBytes = 0,
        };
        place.Files[file.FileId] = new() { Row = row };
        return row;
    }, cancellation);

    public ValueTask<WorkspaceFile?> AttachedAsync(string workspace, string fileId, CancellationToken cancellation) =>
        Do(() => Attached(workspace, fileId)?.Row, cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(
        string workspace, FileStatus? status, string? batch, Page page, CancellationToken cancellation) => Do(() =>
        Paged(
            Rows(workspace).Where(row => (status is null || row.Status == status) && (batch is null || row.Batch == batch)),
            static row => (row.CreatedAt, row.FileId), page),
        cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> AttachedAsync(string workspace, IReadOnlyCollection<int> ordinals, CancellationToken cancellation) =>
        Do<IReadOnlyList<WorkspaceFile>>(() => [.. Rows(workspace).Where(row => ordinals.Contains(row.Ordinal))], cancellation);

    public ValueTask<IReadOnlyList<WorkspaceFile>> PathsAsync(string workspace, CancellationToken cancellation) => Do<IReadOnlyList<WorkspaceFile>>(() =>
        [
            .. Rows(workspace).Where(static row => row is { Path: not null, Status: FileStatus.Completed or FileStatus.InProgress })
                .GroupBy(static row => row.Path).Select(static rows => rows.MaxBy(static row => row.Ordinal)!),
        ],
        cancellation);

    public ValueTask<FileCounts> CountsAsync(string workspace, string? batch, CancellationToken cancellation) => Do(() =>
    {
        var counts = new int[4];
        foreach (var row in Rows(workspace).Where(row => batch is null || row.Batch == batch)) counts[(int)row.Status]++;
        return new FileCounts(counts[0], counts[1], counts[2], counts[3]);
    }, cancellation);

    public ValueTask SaveAsync(WorkspaceFile file, CancellationToken cancellation) => Do(() =>
    {
        if (Attached(file.Workspace, file.FileId) is not { Row.Status: FileStatus.InProgress } there || there.Row.Ordinal != file.Ordinal) return;
        there.Row = there.Row with { Status = file.Status, ErrorCode = file.ErrorCode, Error = file.Error };
        there.Worker = null;
        places[file.Workspace].Changed();
    }, cancellation);

    public ValueTask<WorkspaceFile?> SetAttributesAsync(string workspace, string fileId, string attributes, CancellationToken cancellation) => Do(() =>
    {
        if (Attached(workspace, fileId) is not { } there) return null;
        there.Row = there.Row with { Attributes = attributes };
        places[workspace].Changed();
        return there.Row;
    }, cancellation);

    public ValueTask<bool> DetachAsync(string workspace, string fileId, CancellationToken cancellation) =>
        Do(() => places.GetValueOrDefault(workspace)?.Remove(fileId) is true, cancellation);

    public ValueTask AddBatchAsync(FileBatch batch, CancellationToken cancellation) => Do(() => { batches[batch.Id] = batch; }, cancellation);

    public ValueTask<FileBatch?> BatchAsync(string workspace, string id, CancellationToken cancellation) =>
        Do(() => batches.TryGetValue(id, out var batch) && batch.Workspace == workspace ? batch : null, cancellation);

    public ValueTask<bool> CancelBatchAsync(string workspace, string id, CancellationToken cancellation) => Do(() =>
    {
        if (!batches.TryGetValue(id, out var batch) || batch.Workspace != workspace) return false;
        batches[id] = batch with { IsCancelled = true };
        foreach (var file in places.GetValueOrDefault(workspace)?.Files.Values.Where(file => file.Row.Batch == id) ?? [])
        {
            if (file.Row.Status == FileStatus.InProgress) file.Row = file.Row with { Status = FileStatus.Cancelled };
        }

        return true;
    }, cancellation);

    public ValueTask<WorkspaceFile?> ClaimAsync(string worker, TimeSpan lease, CancellationToken cancellation) => Do(() =>
    {
        var now = clock.GetUtcNow();
        var next = places.Values.SelectMany(static place => place.Files.Values)
            .Where(file => file.Row.Status == FileStatus.InProgress && (file.Worker is null || file.Until <= now))
            .OrderBy(static file => file.Row.CreatedAt).ThenBy(static file => file.Row.FileId, StringComparer.Ordinal)
            .ThenBy(static file => file.Row.Workspace, StringComparer.Ordinal).FirstOrDefault();
        if (next is not null) (next.Worker, next.Until, next.IsStale) = (worker, now + lease, false);
        return next?.Row;
    }, cancellation);

    public ValueTask<bool> AppendAsync(
        string worker, TimeSpan lease, WorkspaceFile file, int from, IReadOnlyList<NewChunk> chunks, bool isLast, CancellationToken cancellation) => Do(() =>
    {
        var now = clock.GetUtcNow();
        if (Attached(file.Workspace, file.FileId) is not { Row.Status: FileStatus.InProgress } there || there.Row.Ordinal != file.Ordinal) return false;
        if (there.IsStale || there.Row.Chunks != from || (there.Worker is { } other && other != worker && there.Until > now)) return false;
        var place = places[file.Workspace];
        (there.Worker, there.Until) = (worker, now + lease);
        foreach (var chunk in chunks) place.Add(there, chunk);
        if (isLast)
        {
            there.Row = there.Row with { Status = FileStatus.Completed };
            var older = place.Files.Values.Where(other => other.Row.Ordinal < there.Row.Ordinal && other.Row.Path is { } path && path == there.Row.Path);
            foreach (var old in older.ToList()) place.Remove(old.Row.FileId);
        }

        place.Changed();
        return true;
    }, cancellation);

    public ValueTask ReleaseAsync(string worker, WorkspaceFile file, CancellationToken cancellation) => Do(() =>
    {
        if (Attached(file.Workspace, file.FileId) is { } there && there.Worker == worker) there.Worker = null;
    }, cancellation);

    public ValueTask EndLeasesAsync(CancellationToken cancellation) => Do(() =>
    {
        foreach (var file in places.Values.SelectMany(static place => place.Files.Values)) file.Until = default;
    }, cancellation);

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksOfAsync(string workspace, string fileId, int from, int most, CancellationToken cancellation) =>
        Do<IReadOnlyList<StoredChunk>>(() =>
            [.. Chunks(workspace).Where(chunk => chunk.FileId == fileId && chunk.Number >= from).OrderBy(static chunk => chunk.Number).Take(most)],
            cancellation);

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksFromAsync(string workspace, int slot, int most, CancellationToken cancellation) =>
        Do<IReadOnlyList<StoredChunk>>(() => [.. Chunks(workspace).Where(chunk => chunk.Slot >= slot).Take(most)], cancellation);

    public ValueTask FillAsync(
        string workspace, VectorSet set, IReadOnlyList<(int Slot, float[] Vector)> vectors, CancellationToken cancellation) => Do(() =>
    {
        if (!places.TryGetValue(workspace, out var place) || !place.Row.Building.Contains(set)) return;
        foreach (var (slot, vector) in vectors)
        {
            if (slot < place.Slots.Count && place.Slots[slot] is { } entry) entry.Vectors[set.Id] = vector;
        }
    }, cancellation);

    public ValueTask<int> SwitchAsync(string workspace, CancellationToken cancellation) => Do(() =>
    {
        if (!places.TryGetValue(workspace, out var place) || place.Row.Building.Count == 0) return -1;
        foreach (var entry in place.Entries)
        {
            if (!place.Row.Building.All(set => entry.Vectors.ContainsKey(set.Id))) return entry.Chunk.Slot;
        }

        place.Row = place.Row with { Vectors = place.Row.Building, Building = [] };
        foreach (var file in place.Files.Values.Where(static file => file.Worker is not null)) (file.Worker, file.IsStale) = (null, true);
        place.DropVectors();
        place.Changed();
        return -1;
    }, cancellation);

    public ValueTask<IWorkspaceIndex?> OpenAsync(string workspace, CancellationToken cancellation) => Do<IWorkspaceIndex?>(() =>
    {
        if (!places.TryGetValue(workspace, out var place)) return null;
        Open++;
        var live = place.Files.Values.Where(static file => file.Row.Status == FileStatus.Completed).Select(static file => file.Row.Ordinal);
        return new MemoryWorkspaceIndex(place.Seen, [.. place.Slots], live, () => Open--);
    }, cancellation);

    public ValueTask<int> ForgetAsync(string owner, CancellationToken cancellation) => Do(() =>
    {
        var mine = places.Values.Where(place => place.Row.Owner == owner).Select(static place => place.Row.Id).ToList();
        var content = files.Values.Where(file => file.Row.Owner == owner).Select(static file => file.Row.Id).ToList();
        return mine.Count(DeletePlace) + content.Count(DeleteContent);
    }, cancellation);

    public ValueTask BackupAsync(string folder, CancellationToken cancellation) => throw new KnowledgeStoreException("memory cannot be backed up");

    public ValueTask<IReadOnlyList<string>> CheckAsync(CancellationToken cancellation) => Do<IReadOnlyList<string>>(static () => [], cancellation);

    private static IReadOnlyList<T> Paged<T>(IEnumerable<T> rows, Func<T, (DateTimeOffset At, string Id)> key, Page page)
    {
        var sorted = rows.OrderBy(row => key(row).At).ThenBy(row => key(row).Id, StringComparer.Ordinal).ToList();
        if (page.Descending) sorted.Reverse();
        foreach (var id in (string?[])[page.After, page.Before])
        {
            if (id is not null && sorted.TrueForAll(row => key(row).Id != id)) return [];
        }

        var from = page.After is null ? 0 : sorted.FindIndex(row => key(row).Id == page.After) + 1;
        var to = page.Before is null ? -1 : sorted.FindIndex(row => key(row).Id == page.Before);
        if (to < 0) return [.. sorted.Skip(from).Take(page.Most)];
        return [.. sorted.Take(to).Skip(page.After is null ? Math.Max(0, to - page.Most) : from).Take(page.Most)];
    }

    private ValueTask Do(Action action, CancellationToken cancellation)
    {
        var done = Do(() =>
        {
            action();
            return true;
        }, cancellation);
        return done.IsCompletedSuccessfully ? default : new(done.AsTask());
    }

    private ValueTask<T> Do<T>(Func<T> action, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (Fails is { } reason) throw new KnowledgeStoreException(reason);
        lock (gate) return new(action());
    }

    private bool DeletePlace(string id)
    {
        foreach (var batch in batches.Values.Where(batch => batch.Workspace == id).ToList()) batches.Remove(batch.Id);
        return places.Remove(id);
    }

    private bool DeleteContent(string id)
    {
        foreach (var place in places.Values) place.Remove(id);
        return files.Remove(id);
    }

    private Attachment? Attached(string workspace, string fileId) => places.GetValueOrDefault(workspace)?.Files.GetValueOrDefault(fileId);

    private IEnumerable<WorkspaceFile> Rows(string workspace) =>
        places.GetValueOrDefault(workspace)?.Files.Values.Select(static file => file.Row) ?? [];

    private IEnumerable<StoredChunk> Chunks(string workspace) =>
        places.GetValueOrDefault(workspace)?.Entries.Select(static entry => entry.Chunk) ?? [];

    /// <summary>A file in a workspace, and who has claimed it until when.</summary>
    private sealed class Attachment
    {
        public required WorkspaceFile Row { get; set; }
        public string? Worker { get; set; }
        public DateTimeOffset Until { get; set; }

        /// <summary>Its worker lost the claim because the vector sets were switched.</summary>
        public bool IsStale { get; set; }
    }

    /// <summary>A workspace with its files and slots.</summary>
    private sealed class Place
    {
        public required Workspace Row { get; set; }
        public Dictionary<string, Attachment> Files { get; } = [];
        public List<MemorySlot?> Slots { get; } = [];
        public int LastOrdinal { get; set; }

        public IEnumerable<MemorySlot> Entries => Slots.OfType<MemorySlot>();

        public Workspace Seen => Row with { Chunks = Entries.Count(), UsageBytes = Files.Values.Sum(static file => file.Row.UsageBytes), Slots = Slots.Count };

        public void Changed() => Row = Row with { Version = Row.Version + 1 };

        public void Add(Attachment file, NewChunk chunk)
        {
            var slot = Row.Building.Count > 0 ? -1 : Slots.IndexOf(null); // while vectors are computed for a slot, it is not used again
            if (slot < 0)
            {
                slot = Slots.Count;
                Slots.Add(null);
            }

            var stored = new StoredChunk(slot, file.Row.FileId, file.Row.Chunks, chunk.Text)
            {
                Heading = chunk.Heading, Page = chunk.PageNumber, Start = chunk.Start, End = chunk.End, Tokens = chunk.Tokens,
            };
            var vectors = Row.Vectors.Zip(chunk.Vectors).ToDictionary(static pair => pair.First.Id, static pair => pair.Second);
            Slots[slot] = new(stored, file.Row.Ordinal, chunk.Terms, vectors);
            var bytes = Encoding.UTF8.GetByteCount(chunk.Text) + chunk.Vectors.Sum(static vector => vector.Length);
            file.Row = file.Row with { Chunks = file.Row.Chunks + 1, UsageBytes = file.Row.UsageBytes + bytes };
        }

        public bool Remove(string fileId)
        {
            if (!Files.Remove(fileId)) return false;
            for (var slot = 0; slot < Slots.Count; slot++)
            {
                if (Slots[slot]?.Chunk.FileId == fileId) Slots[slot] = null;
            }

            Changed();
            return true;
        }

        public void DropVectors()
        {
            var kept = Row.Vectors.Concat(Row.Building).Select(static set => set.Id).ToHashSet();
            foreach (var entry in Entries)
            {
                foreach (var id in entry.Vectors.Keys.Where(id => !kept.Contains(id)).ToList()) entry.Vectors.Remove(id);
            }
        }
    }
}

/// <summary>A slot with its chunk.</summary>
/// <param name="Vectors">By the ids of their sets.</param>
internal sealed record MemorySlot(StoredChunk Chunk, int Ordinal, ChunkTerms Terms, Dictionary<string, float[]> Vectors);

/// <summary>A workspace's chunks as they were when it was opened.</summary>
internal sealed class MemoryWorkspaceIndex : IWorkspaceIndex
{
    private readonly MemorySlot?[] entries;
    private readonly Action closed;

    public MemoryWorkspaceIndex(Workspace workspace, MemorySlot?[] entries, IEnumerable<int> live, Action closed)
    {
        (Workspace, this.entries, this.closed) = (workspace, entries, closed);
        Slots = new(
            [.. entries.Select(static e => e is null ? 0 : SlotTable.Pack(e.Ordinal, e.Terms.BodyLength, e.Terms.TitleLength))], live.ToHashSet());
    }

    public Workspace Workspace { get; }
    public SlotTable Slots { get; }

    public ValueTask<IReadOnlyList<PostingList>> PostingsAsync(IReadOnlyList<TermKey> terms, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return new([.. terms.Select(Postings)]);
    }

    public ValueTask<IReadOnlyList<ScoredSlot>> NearestAsync(
        int set, ReadOnlyMemory<float> query, int count, SlotMask? mask, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var id = Workspace.Vectors[set].Id;
        return new([
            .. entries.OfType<MemorySlot>().Where(entry => Slots.IsLive(entry.Chunk.Slot) && mask?[entry.Chunk.Slot] is not false)
                .Where(entry => entry.Vectors.ContainsKey(id)).Select(entry => new ScoredSlot(entry.Chunk.Slot, Dot(entry.Vectors[id], query.Span)))
                .OrderByDescending(static scored => scored.Score).ThenBy(static scored => scored.Slot).Take(count),
        ]);
    }

    public ValueTask<IReadOnlyList<float[]>> VectorsAsync(int set, IReadOnlyList<int> slots, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var (id, dimensions) = (Workspace.Vectors[set].Id, Workspace.Vectors[set].Dimensions);
        return new([.. slots.Select(slot => At(slot)?.Vectors.GetValueOrDefault(id) ?? new float[dimensions])]);
    }

    public ValueTask<IReadOnlyList<StoredChunk>> ChunksAsync(IReadOnlyList<int> slots, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return new([.. slots.Select(At).OfType<MemorySlot>().Select(static entry => entry.Chunk)]);
    }

    public ValueTask<IReadOnlyList<StoredChunk>> NeighboursAsync(string fileId, IReadOnlyList<int> numbers, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return new([
            .. entries.OfType<MemorySlot>().Select(static entry => entry.Chunk).Where(chunk => chunk.FileId == fileId && numbers.Contains(chunk.Number)),
        ]);
    }

    public void Dispose() => closed();

    private MemorySlot? At(int slot) => (uint)slot < (uint)entries.Length ? entries[slot] : null;

    private PostingList Postings(TermKey key)
    {
        var found = entries.OfType<MemorySlot>()
            .Select(entry => new Posting(entry.Chunk.Slot, (key.Field == TermField.Body ? entry.Terms.Body : entry.Terms.Title).GetValueOrDefault(key.Term)))
            .Where(static posting => posting.Count > 0);
        return new([
            .. found.GroupBy(static posting => PostingBlock.Of(posting.Slot))
                .Select(static block => (block.Key, (ReadOnlyMemory<byte>)PostingBlock.Merge([], block.Key, [.. block], null))),
        ]);
    }

    private static float Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        var sum = 0.0;
        for (var i = 0; i < left.Length; i++) sum += (double)left[i] * right[i];
        return (float)sum;
    }
}
