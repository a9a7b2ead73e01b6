using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Proxy.Cli.Knowledge;

internal enum FileKind
{
    File,
    Folder,
    Link,

    /// <summary>A pipe, a socket or a device: opening one may wait for ever.</summary>
    Other,
}

/// <summary>What a file is, without opening it. .NET does not say whether it is a pipe.</summary>
/// <param name="Kind">Of the entry itself: a link is not followed.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Inode">Changes when another file takes its name.</param>
/// <param name="Modified">When its content was last changed, in nanoseconds since 1970.</param>
internal readonly partial record struct FileFacts(FileKind Kind, long Bytes, ulong Inode, long Modified)
{
    private const int CurrentFolder = -100, NotFollowed = 0x100;
    private const uint BasicStats = 0x7ff;

    /// <summary>ENOENT and ENOTDIR.</summary>
    private const int NoEntry = 2, NotAFolder = 20;

    public static FileFacts? Of(string path) => Of(path, out _);

    /// <summary>Null, and whether there is no such file, if its kind cannot be read.</summary>
    public static unsafe FileFacts? Of(string path, out bool isGone)
    {
        // struct statx of linux/stat.h, the same on every processor: the mode is at byte 28, the inode at 32, the size at 40, the time of the change at 112.
        Span<byte> facts = stackalloc byte[256];
        fixed (byte* buffer = facts)
        {
            if (StatX(CurrentFolder, path, NotFollowed, BasicStats, buffer) != 0)
            {
                isGone = Marshal.GetLastPInvokeError() is NoEntry or NotAFolder;
                return null;
            }
        }

        isGone = false;
        var kind = (BinaryPrimitives.ReadUInt16LittleEndian(facts[28..]) & 0xF000) switch
        {
            0x8000 => FileKind.File, 0x4000 => FileKind.Folder, 0xA000 => FileKind.Link, _ => FileKind.Other,
        };
        return new(
            kind, BinaryPrimitives.ReadInt64LittleEndian(facts[40..]), BinaryPrimitives.ReadUInt64LittleEndian(facts[32..]),
            (BinaryPrimitives.ReadInt64LittleEndian(facts[112..]) * 1_000_000_000) + BinaryPrimitives.ReadUInt32LittleEndian(facts[120..]));
    }

    /// <summary>The path without links, "." and ".."; null if it does not exist.</summary>
    public static unsafe string? RealPath(string path)
    {
        Span<byte> resolved = stackalloc byte[4097];
        fixed (byte* buffer = resolved)
        {
            return RealPath(path, buffer) is null ? null : Marshal.PtrToStringUTF8((nint)buffer);
        }
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static unsafe partial int StatX(int folder, string path, int flags, uint mask, byte* facts);

    [LibraryImport("libc", EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static unsafe partial byte* RealPath(string path, byte* resolved);
}
