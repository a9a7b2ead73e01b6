using System.Buffers;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// The body of a host that compresses although identity was asked, decoded piece by piece as it comes: an event that the host flushed can be read at once. A piece is bounded, whatever
/// it would unpack to; how much of it all is held is the reader's to bound. Decoding runs on the thread pool and not on a loop.
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

            inlet.Bytes.Write(read.Bytes.Span); // they are borrowed until the next suspension
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

    /// <summary>How many bytes came out; 0 when more have to come in, -1 when it cannot be decoded.</summary>
    private int Decode()
    {
        try
        {
            buffer ??= ArrayPool<byte>.Shared.Rent(Piece);
            decoder ??= ContentCoding.Decode(coding, inlet, inlet.Bytes.Span, resumes: true);
            if (decoder is null)
            {
                Failure = $"the host used the content-encoding '{coding}', which was not asked for and is not understood";
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

    /// <summary>What came and has not been decoded. Its end is not the end: more may come.</summary>
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
