using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>
/// The unsent part of a request. Only bodies up to 8 KiB and the unsent rest of a head are copied. A mutable struct: keep it in one field.
/// </summary>
internal struct RequestUpload
{
    private const int SmallBody = 8 << 10;

    private UpstreamRequest request;
    private ReadOnlyMemory<byte> head; // the unsent rest of the head
    private long rest; // how many bytes at the end of the body are unsent

    /// <summary>The send of the request is scheduled but has not started.</summary>
    public bool IsQueued { get; private set; }

    /// <summary>A send has started, and the kernel has not taken all bytes yet.</summary>
    public readonly bool HasRest => rest > 0 || !head.IsEmpty;

    public readonly bool IsUnsent => IsQueued || HasRest;

    public void Begin(in UpstreamRequest wanted) => request = wanted;

    public void Queue() => IsQueued = true;

    /// <summary>
    /// Sends head and body in one system call. A small body is copied behind its head, which is faster than a gathering send; a large one is sent from
    /// the caller's memory. False: the connection is broken.
    /// </summary>
    public bool TrySend(PooledBody heads, RequestHead common, int descriptor)
    {
        heads.Clear();
        common.Write(heads, request);
        IsQueued = false;
        rest = request.Body.Length;
        int count;
        if (rest <= SmallBody)
        {
            request.Body.CopyTo(heads.GetSpan((int)rest));
            heads.Advance((int)rest);
            rest = 0;
            count = LibC.Send(descriptor, heads.Span);
        }
        else
        {
            count = LibC.Send(descriptor, heads.Span, request.Body.Before.Span, request.Body.Inserted.Span, request.Body.After.Span);
        }

        if (count == LibC.Failed) return false;
        count = Math.Max(count, 0);
        if (count < heads.Length)
        {
            head = heads.Span[count..].ToArray();
            return true;
        }

        rest -= count - heads.Length;
        return TrySendRest(descriptor);
    }

    /// <summary>Sends as much of the rest as the kernel takes. False: the connection is broken.</summary>
    public bool TrySendRest(int descriptor)
    {
        while (HasRest)
        {
            var done = request.Body.Length - rest;
            var before = Skip(request.Body.Before.Span, ref done);
            var inserted = Skip(request.Body.Inserted.Span, ref done);
            var after = Skip(request.Body.After.Span, ref done);
            var count = LibC.Send(descriptor, head.Span, before, inserted, after);
            if (count == LibC.WouldBlock) return true;
            if (count == LibC.Failed) return false;
            var ofHead = Math.Min(count, head.Length);
            head = head[ofHead..];
            rest -= count - ofHead;
        }

        return true;

        static ReadOnlySpan<byte> Skip(ReadOnlySpan<byte> bytes, ref long count)
        {
            var skipped = (int)Math.Min(count, bytes.Length);
            count -= skipped;
            return bytes[skipped..];
        }
    }

    /// <summary>Discards the unsent rest.</summary>
    public void Stop()
    {
        IsQueued = false;
        rest = 0;
        head = default;
    }

    /// <summary>Discards the unsent rest and releases the reference to the body's memory.</summary>
    public void Forget()
    {
        Stop();
        request = default;
    }
}
