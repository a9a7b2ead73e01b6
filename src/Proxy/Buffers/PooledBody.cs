using System.Buffers;

namespace Proxy.Buffers;

/// <summary>
/// Bytes in a rented array with one owner. Grows when written to. <see cref="Dispose"/> returns the array, after which the bytes must not be read.
/// </summary>
internal sealed class PooledBody(int capacity = 4096) : IBufferWriter<byte>, IDisposable
{
    private byte[]? array = ByteArrays.Rent(Math.Max(capacity, 16));

    public int Length { get; private set; }

    /// <summary>Bytes of memory that it holds.</summary>
    public int Capacity => array?.Length ?? 0;

    public ReadOnlyMemory<byte> Memory => array.AsMemory(0, Length);
    public ReadOnlySpan<byte> Span => array.AsSpan(0, Length);

    public void Advance(int count) => Length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return array.AsMemory(Length);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(Math.Max(sizeHint, 1));
        return array.AsSpan(Length);
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        bytes.CopyTo(array.AsSpan(Length));
        Length += bytes.Length;
    }

    /// <summary>Removes the first <paramref name="count"/> bytes and moves the rest to the front.</summary>
    public void Consume(int count)
    {
        array.AsSpan(count, Length - count).CopyTo(array);
        Length -= count;
    }

    /// <summary>Removes everything after the first <paramref name="length"/> bytes.</summary>
    public void Truncate(int length) => Length = Math.Min(length, Length);

    public void Clear() => Length = 0;

    /// <summary>
    /// Exchanges the array for a smaller one if less than half of it is used, before the bytes are kept for long. A JSON writer reserves six times the length
    /// of a text.
    /// </summary>
    public void Trim()
    {
        if (array is null || Length >= array.Length / 2) return;
        var smaller = ByteArrays.Rent(Math.Max(Length, 16));
        Span.CopyTo(smaller);
        ByteArrays.Return(array);
        array = smaller;
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref array, null) is { } rented) ByteArrays.Return(rented);
        Length = 0;
    }

    private void Reserve(int more)
    {
        ObjectDisposedException.ThrowIf(array is null, this);
        if (array.Length - Length >= more) return;

        var larger = ByteArrays.Rent(Math.Max(array.Length * 2, Length + more));
        array.AsSpan(0, Length).CopyTo(larger);
        ByteArrays.Return(array);
        array = larger;
    }
}
