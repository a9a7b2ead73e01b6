using System.Buffers;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// Decodes the response body of a host that compresses although the request asked for identity. It decodes as bytes arrive, so an event that the host
/// flushed can be read at once. Each read returns at most 16 KiB, whatever the compression ratio; the reader limits the total. Decoding runs on the
/// thread pool and not on a loop.
/// </summary>
internal sealed class DecodedBody(ReplyBody encoded, string coding) : ReplyBody
{
    private const int Piece = 16 << 10;

    private readonly Inlet inlet = new();
    private byte[]? buffer;
    private Stream? decoder;
    private bool drained = true;

    public override long Now => encoded.Now;

    public override async ValueTask<ReplyRead> ReadAsync()
    {
        while (true)
        {
            if (!drained)
            {
                var count = Decode();
                if (count < 0) return new(ReplyReadKind.Failed);
                if (count > 0) return new(ReplyReadKind.Data, buffer.AsMemory(0, count));
            }

            encoded.Deadline = Deadline;
            encoded.QuietAt = QuietAt;
            var read = await encoded.ReadAsync().ConfigureAwait(false);
            if (read.Kind is not ReplyReadKind.Data)
            {
                Failure = encoded.Failure;
                return new(read.Kind);
            }

            inlet.Bytes.Write(read.Bytes.Span); // copied: they are valid only until the next await
            drained = false;
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }
    }

    public override void Cancel() => encoded.Cancel();

    public override void Dispose()
    {
        encoded.Dispose();
        decoder?.Dispose();
        inlet.Dispose();
        if (Interlocked.Exchange(ref buffer, null) is { } rented) ArrayPool<byte>.Shared.Return(rented);
    }

    /// <summary>The number of decoded bytes; 0 if more input is needed; -1 if the input cannot be decoded.</summary>
    private int Decode()
    {
        try
        {
            buffer ??= ArrayPool<byte>.Shared.Rent(Piece);
            decoder ??= ContentCoding.Decode(coding, inlet, inlet.Bytes.Span, resumes: true);
            if (decoder is null)
            {
                Failure = $"the host used the content-encoding '{coding}', which was not requested and is not supported";
                return -1;
            }

            var count = decoder.Read(buffer, 0, buffer.Length);
            drained = count == 0;
            return count;
        }
        catch (Exception problem) when (ContentCoding.IsBroken(problem))
        {
            Failure = $"the host's answer is not valid {coding}, as its content-encoding says";
            return -1;
        }
    }

    /// <summary>Received bytes that are not decoded yet. A read of 0 bytes does not mean the end: more may arrive.</summary>
    private sealed class Inlet : Stream
    {
        private int taken;

        public PooledBody Bytes { get; } = new();

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(Span<byte> target)
        {
            var count = Math.Min(target.Length, Bytes.Length - taken);
            Bytes.Span.Slice(taken, count).CopyTo(target);
            taken += count;
            if (taken < Bytes.Length) return count;
            Bytes.Clear();
            taken = 0;
            return count;
        }

        public override int Read(byte[] target, int offset, int count) => Read(target.AsSpan(offset, count));
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] source, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing) Bytes.Dispose();
            base.Dispose(disposing);
        }
    }
}
