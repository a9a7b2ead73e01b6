using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Relay;

/// <summary>What a network cut off a frame, kept until the frame is whole. Looks at each byte once, however many pieces the frame comes in.</summary>
internal sealed class CutFrame(FrameCutter cutter) : IDisposable
{
    /// <summary>No host has reason to say more in one frame: a picture in base64 is a few MiB. Beyond this it is broken, and would fill our memory.</summary>
    public const int Longest = 32 << 20;

    private PooledBody? kept;
    private bool joined;

    public ReadOnlySpan<byte> Span => kept is { } bytes ? bytes.Span : default;

    public bool IsTooLong => kept is { Length: > Longest };

    /// <summary>The bytes to cut frames from: the new ones, after what was kept. Empty while no frame can end in them. To be followed by <see cref="Keep"/>.</summary>
    public ReadOnlyMemory<byte> Join(ReadOnlyMemory<byte> bytes)
    {
        joined = kept is { Length: > 0 };
        if (!joined) return bytes;

        var before = kept!.Length;
        kept.Write(bytes.Span);
        return cutter.MayEnd(kept.Span, before) ? kept.Memory : default;
    }

    /// <summary>Keeps what is left of the bytes that <see cref="Join"/> gave.</summary>
    public void Keep(int taken, ReadOnlySpan<byte> rest)
    {
        if (joined) kept!.Consume(taken);
        else if (!rest.IsEmpty) (kept ??= new PooledBody(rest.Length * 2)).Write(rest);
    }

    public void Dispose() => kept?.Dispose();
}
