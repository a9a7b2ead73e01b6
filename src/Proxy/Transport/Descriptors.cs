namespace Proxy.Transport;

/// <summary>
/// How the process's descriptors are shared between clients and hosts: listeners stop accepting while the last quarter (4,096 at most) is being used, so that the calls that were
/// let in can still reach a host. A new descriptor always gets the lowest free number, so the number of an accepted connection tells how many are open, without a system call.
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

    /// <summary>A connection with this number, or a higher one, is the last for now.</summary>
    public long Ceiling { get; }

    /// <summary>By the process's own limit.</summary>
    public static Descriptors OfProcess() => new(LibC.DescriptorLimit());

    /// <summary>Whether another client may be let in again. Costs two system calls.</summary>
    public bool HasRoom() => LibC.LowestFreeDescriptor() is var lowest && lowest >= 0 && lowest < Ceiling;
}
