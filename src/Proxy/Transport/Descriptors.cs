namespace Proxy.Transport;

/// <summary>
/// Divides the process's file descriptors between clients and hosts. The last quarter (at most 4,096) is reserved for connections to hosts: listeners
/// stop accepting when they reach it, so that calls already accepted can still reach a host. A new descriptor always gets the lowest free number, so
/// the number of an accepted connection tells how many are open, without a system call.
/// </summary>
internal sealed class Descriptors
{
    private const int MostKept = 4096;

    public Descriptors(long limit)
    {
        Limit = limit;
        Ceiling = limit - Math.Min(limit / 4, MostKept);
    }

    public long Limit { get; }

    /// <summary>After accepting a connection with this descriptor number or a higher one, the listener stops accepting for now.</summary>
    public long Ceiling { get; }

    /// <summary>For the process's own limit (RLIMIT_NOFILE).</summary>
    public static Descriptors OfProcess() => new(LibC.DescriptorLimit());

    /// <summary>Whether the listener may accept again. Costs two system calls.</summary>
    public bool HasRoom() => LibC.LowestFreeDescriptor() is var lowest && lowest >= 0 && lowest < Ceiling;
}
