using System.Buffers;
using System.Text;
using System.Text.Json;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>A text as long as an answer can be is written in segments, and stays the same text.</summary>
public sealed class LongTextTests
{
    [Theory]
    [InlineData("")]
    [InlineData("short é 😀 \"quoted\"\n")]
    [InlineData(null)]
    public void Text_is_written_It_is_read_as_it_was(string? text)
    {
        // Odd lengths place surrogate pairs, quotes and line breaks across the segments' borders.
        foreach (var unit in (string[])["😀", "a😀", "\"\n", "é\\"])
        {
            var whole = text ?? string.Concat(Enumerable.Repeat(unit, 50_000));
            var output = new ArrayBufferWriter<byte>();
            var plain = new ArrayBufferWriter<byte>();

            Write(output, json => json.WriteLongString("content"u8, whole));
            Write(plain, json => json.WriteString("content"u8, whole));

            Assert.Equal(Encoding.UTF8.GetString(plain.WrittenSpan), Encoding.UTF8.GetString(output.WrittenSpan));
        }
    }

    [Fact]
    public void Text_that_is_escaped_is_long_Its_buffers_are_in_proportion()
    {
        var text = string.Concat(Enumerable.Repeat("a line\n", 1_000_000));
        var output = new ArrayBufferWriter<byte>(10_000_000);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Write(output, json => json.WriteLongString("content"u8, text));
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.True(allocated < text.Length, $"{allocated} bytes for a text of {text.Length}");
    }

    private static void Write(ArrayBufferWriter<byte> output, Action<Utf8JsonWriter> write)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
    }
}
