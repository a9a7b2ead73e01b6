using Proxy.Config;

namespace Proxy.Tests.Config;

public sealed class UnitsTests
{
    [Theory]
    [InlineData("5m", 300_000)]
    [InlineData("30s", 30_000)]
    [InlineData("250ms", 250)]
    [InlineData("1h30m", 5_400_000)]
    [InlineData("1h1m1s1ms", 3_661_001)]
    [InlineData("90m", 5_400_000)]
    [InlineData("0s", 0)]
    public void A_duration_Is_read_in_its_units(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var duration));
        Assert.Equal(milliseconds, duration.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("30")]
    [InlineData("s")]
    [InlineData("-5s")]
    [InlineData("1.5h")]
    [InlineData("5 m")]
    [InlineData("5M")]
    [InlineData("1s1s")]
    [InlineData("1s1m")]
    [InlineData("5min")]
    [InlineData("481h")]
    [InlineData("999999999h")]
    [InlineData("9999999999s")]
    public void What_is_no_duration_Is_not_read(string text) => Assert.False(Duration.TryParse(text, out _));

    [Theory]
    [InlineData("32MiB", 33_554_432)]
    [InlineData("512KB", 512_000)]
    [InlineData("512kb", 512_000)]
    [InlineData("1GiB", 1_073_741_824)]
    [InlineData("1GB", 1_000_000_000)]
    [InlineData("3MB", 3_000_000)]
    [InlineData("10B", 10)]
    [InlineData("2KiB", 2048)]
    public void A_size_Is_read_in_its_units(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var read));
        Assert.Equal(bytes, read);
    }

    [Theory]
    [InlineData("")]
    [InlineData("32")]
    [InlineData("MiB")]
    [InlineData("32 MiB")]
    [InlineData("-1KB")]
    [InlineData("1.5MiB")]
    [InlineData("32M")]
    [InlineData("9999999999GiB")]
    public void What_is_no_size_Is_not_read(string text) => Assert.False(ByteSize.TryParse(text, out _));

    [Fact]
    public void What_is_written_Is_read_as_the_same()
    {
        foreach (var text in new[] { "1h30m", "5m", "250ms", "0s", "1h1m1s1ms" })
            Assert.Equal(text, Duration.TryParse(text, out var duration) ? Duration.Text(duration) : "");
        foreach (var text in new[] { "32MiB", "1GiB", "3KiB", "1000B" })
            Assert.Equal(text, ByteSize.TryParse(text, out var bytes) ? ByteSize.Text(bytes) : "");
    }

    [Theory]
    [InlineData("lisen", "listen")]
    [InlineData("lsiten", "listen")]
    [InlineData("Listen", "listen")]
    [InlineData("body-limit", "body_limit")]
    [InlineData("colour", null)]
    public void A_slip_Finds_its_word(string slip, string? word) => Assert.Equal(word, Spelling.Nearest(slip, ["listen", "body_limit", "queue"]));
}
