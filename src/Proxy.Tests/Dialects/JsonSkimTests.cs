using System.Text;
using System.Text.Json;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>
/// The skim compares many bytes at a time. These tests move the interesting bytes over all positions relative to the vector borders, and compare with a plain
/// count or with the JSON reader.
/// </summary>
public sealed class JsonSkimTests
{
    [Theory]
    [InlineData("\"", 1)]
    [InlineData("\\n", 2)]
    [InlineData("\\\"", 2)]
    [InlineData("\\u00e9", 6)]
    [InlineData("\\x", 0)]
    [InlineData("\\", 0)]
    [InlineData("\\u00g9", 0)]
    [InlineData("\0", 0)]
    [InlineData("\n", 0)]
    [InlineData("\u001f", 0)]
    [InlineData(" ", 1)]
    [InlineData("!", 1)]
    [InlineData("#", 1)]
    [InlineData("[", 1)]
    [InlineData("]", 1)]
    [InlineData("^", 1)]
    [InlineData("|", 1)]
    [InlineData("\u007f", 1)]
    [InlineData("é", 2)]
    public void String_with_a_byte_at_any_place_Ends_where_it_ends(string piece, int passes)
    {
        for (var before = 0; before < 100; before++)
        {
            foreach (var behind in (int[])[0, 1, 7, 15, 16, 17, 40, 63, 64, 90])
            {
                var text = Encoding.UTF8.GetBytes("\"" + new string('x', before) + piece + new string('y', behind) + "\"" + new string('z', behind / 4));
                var end = piece is "\"" ? before + 2 : passes == 0 ? JsonSkim.No : 1 + before + passes + behind + 1;
                Assert.Equal(end, JsonSkim.String(text, 0, out var escaped));
                if (end != JsonSkim.No) Assert.Equal(piece[0] == '\\', escaped);
                Assert.Equal(JsonSkim.No, JsonSkim.String(text.AsSpan(0, Math.Max(end, before + 1) - 1), 0, out _)); // truncated before its end
            }
        }
    }

    [Fact]
    public void Numbers_of_every_shape_Are_those_of_the_reader()
    {
        List<string> texts = [""];
        for (var i = 0; i < texts.Count; i++)
        {
            if (texts[i].Length < 6) texts.AddRange("-+01.eE".Select(next => texts[i] + next));
            Assert.True(JsonSkim.Value(Encoding.UTF8.GetBytes(texts[i]), 0) == texts[i].Length == IsValid(texts[i]), texts[i]);
        }

        Assert.True(texts.Count > 100_000);
    }

    [Fact]
    public void Nesting_Is_passed_to_64_levels()
    {
        foreach (var (open, close) in (ReadOnlySpan<(string, string)>)[("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")])
        {
            var levels = open.Length == 1 || open[0] == '{' ? 64 : 32;
            Assert.Equal(Nested(levels).Length, JsonSkim.Value(Nested(levels), 0));
            Assert.Equal(JsonSkim.No, JsonSkim.Value(Nested(levels + 1), 0));
            Assert.Equal(JsonSkim.No, JsonSkim.Value(Nested(levels).AsSpan()[..^1], 0));

            byte[] Nested(int count) =>
                Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(open, count)) + "1" + string.Concat(Enumerable.Repeat(close, count)));
        }
    }

    private static bool IsValid(string text)
    {
        try
        {
            var json = new Utf8JsonReader(Encoding.UTF8.GetBytes(text));
            return json.Read() && !json.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
