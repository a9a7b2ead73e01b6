using Proxy.Buffers;

namespace Proxy.Transport.Loops;

/// <summary>A request on its way to the host: what of it the kernel has not taken. Nothing is copied but small bodies and the rest of a head. A mutable value: keep it in one field.</summary>
internal struct RequestUpload
{
    private const int SmallBody = 8 << 10;

    private UpstreamRequest request;
    private ReadOnlyMemory<byte> head; // the rest of it
    private long rest; // of the body, at its end

    /// <summary>All of it has to be sent.</summary>
    public bool IsQueued { get; private set; }

    /// <summary>The kernel has taken a part.</summary>
    public readonly bool HasRest => rest > 0 || !head.IsEmpty;

    public readonly bool IsUnsent => IsQueued || HasRest;

    public void Begin(in UpstreamRequest wanted) => request = wanted;

    public void Queue() => IsQueued = true;

    /// <summary>Head and body in one call: a small body behind its head, which is quicker than to have the kernel gather them, a large one from where it is. False: the connection is broken.</summary>
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

    /// <summary>As much as the kernel takes. False: the connection is broken.</summary>
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

    /// <summary>What is left is not sent.</summary>
    public void Stop()
    {
        IsQueued = false;
        rest = 0;
        head = default;
    }

    /// <summary>As <see cref="Stop"/>, and the body's memory is the caller's again.</summary>
    public void Forget()
    {
        Stop();
        request = default;
    }
}
