using System.Globalization;

namespace Proxy.Knowledge;

/// <summary>A file's content as it comes, which ends with an <see cref="OperatorException"/> once it is longer than allowed.</summary>
internal sealed class LimitedStream(Stream content, long limit) : Stream
{
    private long seen;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>What to say of a file that is too large.</summary>
    public static string TooLarge(long limit) => string.Create(CultureInfo.InvariantCulture, $"is larger than [knowledge] file_limit ({limit / 1e6:0.###} MB)");

    public override int Read(byte[] buffer, int offset, int count) => Counted(content.Read(buffer, offset, count));

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        Counted(await content.ReadAsync(buffer, cancellationToken).ConfigureAwait(false));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private int Counted(int read) => (seen += read) > limit ? throw new OperatorException("the file " + TooLarge(limit)) : read;
}
