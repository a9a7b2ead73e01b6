using Proxy.Streams;

namespace Proxy.Store.Spooling;

/// <summary>
/// The rows that wait for the database, oldest first, in files of a folder. Each process writes to files of its own; files of a process that has died are
/// adopted. An empty spool has no file. Not thread-safe.
/// </summary>
/// <param name="folder">Where the files are; made when it is needed. Null: this machine has no place for them.</param>
/// <param name="most">The most bytes of all files.</param>
/// <param name="time">Names the files, so that their names are in their order.</param>
internal sealed class Spool(string? folder, long most, TimeProvider time) : IDisposable
{
    /// <summary>A file that has so many bytes is followed by a new one, so that delivered rows do not take up space for long.</summary>
    private const long LargestFile = 64 << 20;

    /// <summary>The most that one commit takes from the spool.</summary>
    private const int MostRows = 500, MostBytes = 4 << 20;

    private readonly List<SpoolFile> files = [];
    private readonly List<SpoolFile> unread = []; // adopted files whose rows are not in places yet
    private readonly Dictionary<(Type Kind, string Owner, string Name), (SpoolFile File, long At)> places = []; // keys and answers of adopted files
    private SpoolFile? own;
    private long rows;

    /// <summary>Rows that wait.</summary>
    public long Rows => Volatile.Read(ref rows);

    /// <summary>Bytes of the files.</summary>
    public long Bytes { get; private set; }

    /// <summary>Rows that the disk has changed, and that were left out.</summary>
    public long Damaged { get; private set; }

    public bool IsEmpty => files.Count == 0;

    /// <summary>Rows of a process that has died are here, or were here since the spool was last empty. May be read at any time.</summary>
    public bool HasAdopted { get; private set; }

    /// <summary>Bytes that were added in this process.</summary>
    public long Appended { get; private set; }

    /// <summary>Bytes that were removed in this process.</summary>
    public long Delivered { get; private set; }

    /// <summary>Adds rows of one commit and returns when they are on the disk. Throws <see cref="StoreException"/> if they cannot be written.</summary>
    public void Append(IReadOnlyList<StoreRow> added)
    {
        if (folder is null) throw new StoreException("there is no folder for a spool: set STATE_DIRECTORY to one, by its whole path");
        if (Bytes >= most) throw new StoreException($"the spool in {folder} is full: it holds {Bytes >> 20} MiB");
        try
        {
            if (own is null || own.Length >= LargestFile) AddFile(folder);
            var before = own!.Length;
            own.Append(SpoolRecord.Of(added), added.Count);
            Bytes += own.Length - before;
            Appended += own.Length - before;
            Volatile.Write(ref rows, rows + added.Count);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            own = null; // the next append begins a new file: after a failed fdatasync it is unknown what the disk has of this one
            throw new StoreException($"the spool in {folder} cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Takes over the files of processes that have died. Returns their number.</summary>
    public int Adopt()
    {
        if (folder is null || !Directory.Exists(folder)) return 0;

        var adopted = Directory.EnumerateFiles(folder, "*" + SpoolFile.Extension).Order(StringComparer.Ordinal)
            .Where(path => files.All(file => file.Path != path)).Select(SpoolFile.Adopt).OfType<SpoolFile>().ToList();
        files.InsertRange(0, adopted);
        unread.AddRange(adopted);
        HasAdopted |= adopted.Count > 0;
        Bytes += adopted.Sum(static file => file.Length);
        Volatile.Write(ref rows, rows + adopted.Sum(static file => file.CountRows()));
        return adopted.Count;
    }

    /// <summary>The oldest rows that wait, to be given to <see cref="Remove"/> when they are in the database; null: none wait.</summary>
    public SpoolPart? Next()
    {
        while (files.Count > 0)
        {
            var file = files[0];
            var found = new List<StoreRow>();
            var (start, at) = (file.Read(), 0L);
            for (var next = start; next is { } record && found.Count < MostRows && record.Next - file.Delivered < MostBytes; next = file.Read(at))
            {
                found.AddRange(record.Record.Rows);
                at = record.Next;
            }

            // A record may be larger than what is usually taken at once.
            if (found.Count == 0 && start is { } large) (found, at) = ([.. large.Record.Rows], large.Next);
            if (found.Count > 0) return new(file, found, at);
            Delete(file);
        }

        return null;
    }

    /// <summary>Looks for an idempotency key or an answer that a dead process spooled. This process knows its own without the spool.</summary>
    /// <param name="owner">The row's owner.</param>
    /// <param name="name">The key, or the answer's trace id.</param>
    /// <param name="row">The latest such row; null: it has been delivered.</param>
    /// <returns>False: there was none.</returns>
    public bool TryFind<T>(string owner, string name, out T? row) where T : StoreRow
    {
        row = null;
        foreach (var file in unread) AddPlaces(file);
        unread.Clear();
        if (!places.TryGetValue((typeof(T), owner, name), out var place)) return false;
        if (files.Contains(place.File) && place.At >= place.File.Delivered && place.File.Read(place.At) is { } found)
            row = found.Record.Rows.OfType<T>().LastOrDefault(one => NameOf(one) == (owner, name));
        return true;
    }

    /// <summary>Removes rows that are in the database.</summary>
    public void Remove(SpoolPart part)
    {
        Delivered += part.Next - part.File.Delivered;
        part.File.Advance(part.Next);
        Volatile.Write(ref rows, Math.Max(0, rows - part.Rows.Count));
        if (part.File.Waiting == 0) Delete(part.File);
    }

    public void Dispose()
    {
        foreach (var file in files) file.Dispose();
    }

    private void AddFile(string folder)
    {
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        own = SpoolFile.Create(folder, $"{time.GetUtcNow().ToUnixTimeMilliseconds():d15}-{Guid.NewGuid():N}");
        files.Add(own);
        Bytes += own.Length;
    }

    private void AddPlaces(SpoolFile file)
    {
        var at = file.Delivered;
        while (file.Read(at) is { } found)
        {
            foreach (var row in found.Record.Rows)
            {
                if (NameOf(row) is { } name) places[(row.GetType(), name.Owner, name.Name)] = (file, at);
            }

            at = found.Next;
        }
    }

    private static (string Owner, string Name)? NameOf(StoreRow row) => row switch
    {
        KeyRow key => (key.Owner, key.Key),
        AnswerRow answer => (answer.Owner, answer.TraceId),
        _ => null,
    };

    private void Delete(SpoolFile file)
    {
        Damaged += file.Damaged;
        files.Remove(file);
        unread.Remove(file);
        Bytes -= file.Length;
        if (files.Count == 0)
        {
            Volatile.Write(ref rows, 0);
            places.Clear();
            HasAdopted = false;
        }

        if (own == file) own = null;
        file.Delete();
    }
}

/// <summary>Rows from the front of a spool.</summary>
/// <param name="File">Their file.</param>
/// <param name="Rows">One or more.</param>
/// <param name="Next">The place in the file that follows them.</param>
internal sealed record SpoolPart(SpoolFile File, IReadOnlyList<StoreRow> Rows, long Next);
