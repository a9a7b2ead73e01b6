using System.Buffers;
using Microsoft.AspNetCore.Connections.Features;

namespace Proxy.Transport;

/// <summary>Memory for the server's own buffers. It asks for 0 bytes and means a block; the runtime's shared pool takes that at its word.</summary>
internal sealed class BlockPool : MemoryPool<byte>, IMemoryPoolFeature
{
    private const int Block = 4096;

    public static BlockPool Only { get; } = new();

    public override int MaxBufferSize => Shared.MaxBufferSize;

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => this;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => Shared.Rent(Math.Max(minBufferSize, Block));

    protected override void Dispose(bool disposing)
    {
    }
}
