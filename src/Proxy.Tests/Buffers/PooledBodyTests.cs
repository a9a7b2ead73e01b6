using System.Text;
using Proxy.Buffers;

namespace Proxy.Tests.Buffers;

public sealed class PooledBodyTests
{
    [Fact]
    public void Written_in_every_way_It_holds_all_of_it()
    {
        using var body = new PooledBody(0);
        var expected = new List<byte>();
        for (var i = 0; i < 3000; i++)
        {
            byte[] piece = [.. Enumerable.Repeat((byte)i, i % 23)];
            expected.AddRange(piece);
            if (i % 2 == 0)
            {
                body.Write(piece);
                continue;
            }

            piece.CopyTo(i % 3 == 0 ? body.GetSpan(piece.Length) : body.GetMemory(piece.Length).Span);
            body.Advance(piece.Length);
        }

        Assert.Equal(expected, body.Span.ToArray());
        Assert.Equal(expected, body.Memory.ToArray());
    }

    [Theory]
    [InlineData(0, "abcdef")]
    [InlineData(2, "cdef")]
    [InlineData(6, "")]
    public void Consumed_What_follows_moves_to_the_front(int count, string left)
    {
        using var body = new PooledBody();
        body.Write("abcdef"u8);

        body.Consume(count);
        body.Write("!"u8);

        Assert.Equal(left + "!", Encoding.UTF8.GetString(body.Span));
    }

    [Fact]
    public void Disposed_It_can_be_again_and_holds_nothing()
    {
        var body = new PooledBody();
        body.Write("a"u8);
        body.Dispose();
        body.Dispose();

        Assert.Equal(0, body.Length);
        Assert.Throws<ObjectDisposedException>(() => body.Write("b"u8));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(1000)]
    [InlineData(4000)]
    public void Trimmed_It_holds_less_than_twice_its_bytes_and_can_be_written_to(int length)
    {
        using var body = new PooledBody();
        body.Write(new byte[length]);
        body.GetMemory(100_000); // as a JSON writer reserves it

        body.Trim();
        body.Write("end"u8);

        Assert.Equal([.. new byte[length], .. "end"u8], body.Span);
        Assert.InRange(body.Capacity, length, Math.Max(2 * body.Length, 32));
    }

    [Theory]
    [InlineData("", "", "")]
    [InlineData("abc", "", "")]
    [InlineData("{\"model\":", "\"x\"", "}")]
    [InlineData("", "x", "y")]
    public void Spliced_The_pieces_are_one(string before, string inserted, string after)
    {
        var spliced = new SplicedBody(Encoding.UTF8.GetBytes(before), Encoding.UTF8.GetBytes(inserted), Encoding.UTF8.GetBytes(after));
        var whole = new byte[spliced.Length];
        spliced.CopyTo(whole);

        Assert.Equal(before + inserted + after, Encoding.UTF8.GetString(whole));
        Assert.Equal(whole.Length == 0, spliced.IsEmpty);
    }
}
