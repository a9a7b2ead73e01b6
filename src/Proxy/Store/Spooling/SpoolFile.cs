using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Proxy.Store.Spooling;

/// <summary>
/// A file of records that wait for the database: eight bytes that name the format, then for each record its length, its number of rows and its CRC-32C (4 bytes
/// each, little endian), and its JSON. It is locked as long as a process owns it, and the kernel frees the lock when the process dies. A record whose write did
/// not finish is left out when the file is read; whoever waited for it was not told that it is durable.
/// </summary>
internal sealed partial class SpoolFile : IDisposable
{
    /// <summary>How the names of spool files end.</summary>
    public const string Extension = ".spool";

    private const int HeadLength = 12;

    private static ReadOnlySpan<byte> Magic => "PROXYSP1"u8;

    private readonly FileStream file;
    private long read = Magic.Length;
    private long end;

    private SpoolFile(string path, FileStream file, long end) => (Path, this.file, this.end) = (path, file, end);

    public string Path { get; private set; }

    /// <summary>Bytes that have not been <see cref="Advance">delivered</see>.</summary>
    public long Waiting => Volatile.Read(ref end) - Volatile.Read(ref read);

    /// <summary>Where what is delivered ends.</summary>
    public long Delivered => Volatile.Read(ref read);

    /// <summary>Bytes of the file.</summary>
    public long Length => Volatile.Read(ref end);

    /// <summary>Rows of records whose checksum was wrong although others follow: the disk has changed them.</summary>
    public int Damaged { get; private set; }

    /// <summary>Rows that have not been delivered, as the heads of their records say.</summary>
    public long CountRows()
    {
        var rows = 0L;
        Span<byte> head = stackalloc byte[HeadLength];
        for (var at = read; at + HeadLength <= end; at += HeadLength + BinaryPrimitives.ReadInt32LittleEndian(head))
        {
            RandomAccess.Read(file.SafeFileHandle, head, at);
            if (BinaryPrimitives.ReadInt32LittleEndian(head) is var length && (length <= 0 || at + HeadLength + length > end)) break;
            rows += BinaryPrimitives.ReadInt32LittleEndian(head[4..]);
        }

        return rows;
    }

    /// <summary>Makes a file, locked before another process can see it under its name.</summary>
    public static SpoolFile Create(string folder, string name)
    {
        var path = System.IO.Path.Combine(folder, name + Extension);
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        };
        var file = new FileStream(path + ".new", options);
        try
        {
            file.Write(Magic);
            Synchronise(file.SafeFileHandle);
            File.Move(path + ".new", path);
            SynchroniseFolder(folder);
            return new(path, file, Magic.Length);
        }
        catch
        {
            file.Dispose();
            File.Delete(path + ".new");
            throw;
        }
    }

    /// <summary>A file that a dead process left behind; null if its process lives, if it is gone, or if it has another version's format.</summary>
    public static SpoolFile? Adopt(string path)
    {
        FileStream? file = null;
        try
        {
            file = new(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.ReadWrite, Share = FileShare.None, BufferSize = 0 });
            Span<byte> magic = stackalloc byte[Magic.Length];
            // It may have been delivered and deleted by another process between our open and our lock.
            if (File.Exists(path) && RandomAccess.Read(file.SafeFileHandle, magic, 0) == Magic.Length && magic.SequenceEqual(Magic))
                return new(path, file, file.Length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another process has the lock.
        }

        file?.Dispose();
        return null;
    }

    /// <summary>Adds a record and returns when it is on the disk. After an <see cref="IOException"/> the file is as it was before.</summary>
    public void Append(SpoolRecord record, int rows)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(record, SpoolJson.Default.SpoolRecord);
        Span<byte> head = stackalloc byte[HeadLength];
        BinaryPrimitives.WriteInt32LittleEndian(head, body.Length);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], rows);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], Checksum(body));
        try
        {
            RandomAccess.Write(file.SafeFileHandle, head, end);
            RandomAccess.Write(file.SafeFileHandle, body, end + HeadLength);
            Synchronise(file.SafeFileHandle);
        }
        catch (IOException)
        {
            RandomAccess.SetLength(file.SafeFileHandle, end);
            throw;
        }

        Volatile.Write(ref end, end + HeadLength + body.Length);
    }

    /// <summary>The record at the place that was reached, and the place after it; null at the end of what is whole.</summary>
    /// <param name="at">0: what was delivered last.</param>
    /// <param name="counts">Whether damaged records are counted.</param>
    public (SpoolRecord Record, long Next)? Read(long at = 0, bool counts = true)
    {
        Span<byte> head = stackalloc byte[HeadLength];
        for (at = Math.Max(at, read); at + HeadLength <= end;)
        {
            RandomAccess.Read(file.SafeFileHandle, head, at);
            var length = BinaryPrimitives.ReadInt32LittleEndian(head);
            var next = at + HeadLength + length;
            if (length <= 0 || next > end) return null;

            var body = new byte[length];
            ReadWhole(body, at + HeadLength);
            if (Checksum(body) == BinaryPrimitives.ReadUInt32LittleEndian(head[8..]) && Parse(body) is { } record) return (record, next);
            if (next == end) return null;
            if (counts) Damaged += BinaryPrimitives.ReadInt32LittleEndian(head[4..]);
            at = next;
        }

        return null;
    }

    /// <summary>Notes that everything before <paramref name="at"/> is in the database.</summary>
    public void Advance(long at) => Volatile.Write(ref read, at);

    /// <summary>Deletes the file, after everything in it was delivered.</summary>
    public void Delete()
    {
        File.Delete(Path);
        Dispose();
    }

    public void Dispose() => file.Dispose();

    private static SpoolRecord? Parse(byte[] body)
    {
        try
        {
            return JsonSerializer.Deserialize(body, SpoolJson.Default.SpoolRecord);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        var sum = uint.MaxValue;
        foreach (var eight in MemoryMarshal.Cast<byte, ulong>(bytes)) sum = BitOperations.Crc32C(sum, eight);
        foreach (var one in bytes[(bytes.Length & ~7)..]) sum = BitOperations.Crc32C(sum, one);
        return ~sum;
    }

    private void ReadWhole(Span<byte> buffer, long at)
    {
        while (!buffer.IsEmpty)
        {
            var count = RandomAccess.Read(file.SafeFileHandle, buffer, at);
            if (count == 0) throw new EndOfStreamException($"{Path} became shorter while it was read");
            buffer = buffer[count..];
            at += count;
        }
    }

    private static void Synchronise(SafeFileHandle handle)
    {
        if (DataSync(handle) != 0) throw new IOException($"fdatasync failed: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    /// <summary>Without this, a loss of power may lose a new file's name.</summary>
    private static void SynchroniseFolder(string folder)
    {
        const int CloseOnExec = 0x80000; // O_CLOEXEC; with O_RDONLY, which is 0
        using var handle = OpenFolder(folder, CloseOnExec);
        if (handle.IsInvalid || Sync(handle) != 0) throw new IOException($"{folder} cannot be synchronised: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int DataSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle OpenFolder(string path, int flags);
}
