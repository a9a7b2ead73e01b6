namespace Proxy.Documents;

/// <summary>A document's file as its reader sees it: each read is a step of the guard, and closing it leaves the file open.</summary>
internal sealed class GuardedStream(Stream file, ReadGuard guard) : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => file.Length;

    public override long Position
    {
        get => file.Position;
        set => file.Position = value;
    }

    public override int Read(Span<byte> buffer)
    {
        guard.Step();
        return file.Read(buffer);
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int ReadByte()
    {
        var one = (byte)0;
        return Read(new Span<byte>(ref one)) == 0 ? -1 : one;
    }

    public override long Seek(long offset, SeekOrigin origin) => file.Seek(offset, origin);

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
