namespace Proxy.Buffers;

/// <summary>A request body in up to three pieces, so that replacing the model's name copies only the name.</summary>
internal readonly record struct SplicedBody(ReadOnlyMemory<byte> Before, ReadOnlyMemory<byte> Inserted, ReadOnlyMemory<byte> After)
{
    public SplicedBody(ReadOnlyMemory<byte> whole) : this(whole, default, default) { }

    public long Length => (long)Before.Length + Inserted.Length + After.Length;
    public bool IsEmpty => Length == 0;

    public void CopyTo(Span<byte> target)
    {
        Before.Span.CopyTo(target);
        Inserted.Span.CopyTo(target[Before.Length..]);
        After.Span.CopyTo(target[(Before.Length + Inserted.Length)..]);
    }
}
