using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

public sealed class SharedPartsTests
{
    [Theory]
    [InlineData("é 你好 😀 👩‍👩‍👧", "\"é 你好 😀 👩‍👩‍👧\"")]
    [InlineData("<a href='x'>&amp;</a> \u2028\u2029\u00a0\ufeff\u007f", "\"<a href='x'>&amp;</a> \u2028\u2029\u00a0\ufeff\u007f\"")]
    [InlineData("\"\\/\b\f\n\r\t\u0000\u001f", """
        "\"\\/\b\f\n\r\t\u0000\u001f"
        """)]
    [InlineData("😀\n😀", "\"😀\\n😀\"")]
    [InlineData("", "\"\"")]
    public void Text_Is_written_raw_but_for_what_JSON_demands(string text, string expected)
    {
        var written = Wire.Text(output =>
        {
            using var json = WireJson.NewWriter(output);
            json.WriteStringValue(text);
        });

        Assert.Equal(expected, written);
        Assert.Equal(text, JsonSerializer.Deserialize<string>(written));
        Assert.Equal(written, Wire.Text(output =>
        {
            using var json = WireJson.NewWriter(output);
            json.WriteStringValue(Encoding.UTF8.GetBytes(text));
        }));
    }

    [Fact]
    public void Half_a_character_Is_replaced()
    {
        foreach (var (text, expected) in new[] { ("a\ud83d", "a\ufffd"), ("\ude00b", "\ufffdb"), ("\ud83d\"x\"", "\ufffd\"x\""),
            ("\ud83d\ud83d\ude00", "\ufffd😀") })
        {
            var written = Wire.Text(output =>
            {
                using var json = WireJson.NewWriter(output);
                json.WriteStringValue(text);
            });

            Assert.Equal(expected, JsonSerializer.Deserialize<string>(written));
        }
    }

    [Fact]
    public void Text_cut_inside_a_character_Is_joined()
    {
        var text = "é你😀\"\\\n";
        var bytes = Encoding.UTF8.GetBytes(text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
            .Replace("\n", "\\n", StringComparison.Ordinal));
        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            if (cut is 10 or 12 or 14) continue; // inside an escape: not valid JSON
            var pieces = new TextPieces();

            var first = Take(ref pieces, bytes.AsSpan(0, cut));
            var second = Take(ref pieces, bytes.AsSpan(cut));

            Assert.Equal(text, first + second);
            Assert.Equal("", pieces.Flush());
            Assert.DoesNotContain('\ufffd', first);
        }
    }

    [Theory]
    [InlineData(new[] { "\\ud83d", "\\ude00" }, "😀", "")]
    [InlineData(new[] { "a\\uD83D", "", "\\uDE00b" }, "a😀b", "")]
    [InlineData(new[] { "\\ud83d\\ude00" }, "😀", "")]
    [InlineData(new[] { "\\ud83d", "x" }, "\ufffdx", "")]
    [InlineData(new[] { "\\ud83d\\n" }, "\ufffd\n", "")]
    [InlineData(new[] { "\\ude00x" }, "\ufffdx", "")]
    [InlineData(new[] { "x\\ud83d" }, "x", "\ufffd")]
    [InlineData(new[] { "\\u0000\\u00e9\\u4f60\\/" }, "\0é你/", "")]
    public void Escaped_pair_cut_in_two_Is_joined(string[] parts, string expected, string left)
    {
        var pieces = new TextPieces();

        var text = string.Concat(parts.Select(part => Take(ref pieces, Encoding.UTF8.GetBytes(part))));

        Assert.Equal(expected, text);
        Assert.Equal(left, pieces.Flush());
    }

    [Fact]
    public void Bytes_that_are_no_text_Become_replacement_characters()
    {
        var pieces = new TextPieces();

        Assert.Equal("a\ufffdb", Take(ref pieces, [(byte)'a', 0xFF, (byte)'b']));
        Assert.Equal("", Take(ref pieces, [0xF0, 0x9F]));
        Assert.Equal("\ufffd", pieces.Flush());
    }

    [Fact]
    public void Emoji_cut_between_two_frames_Arrives_whole_at_the_client()
    {
        byte[] first = [.. "data: {\"choices\":[{\"delta\":{\"content\":\"a"u8, 0xF0, 0x9F, .. "\"}}]}\n\n"u8];
        byte[] second = [.. "data: {\"choices\":[{\"delta\":{\"content\":\""u8, 0x98, 0x80, .. "b\"}}]}\n\ndata: [DONE]\n\n"u8];

        var events = Wire.Read(DialectTable.Backend(DialectName.OpenAiChat)!, out var whole, first, second);

        Assert.True(whole);
        Assert.Equal(["a", "😀b"], events.OfType<ChatEvent.Token>().Select(token => token.Text));
    }

    [Theory]
    [InlineData(DialectName.OpenAiChat, true)]
    [InlineData(DialectName.OpenAiChat, false)]
    [InlineData(DialectName.OllamaChat, true)]
    [InlineData(DialectName.OllamaChat, false)]
    public void Stream_that_ends_inside_a_character_Shows_that_one_is_missing(object dialect, bool ended)
    {
        byte[] stream = (DialectName)dialect is DialectName.OpenAiChat
            ? [.. "data: {\"choices\":[{\"delta\":{\"content\":\"a"u8, 0xF0, 0x9F, .. "\"}}]}\n\n"u8, .. ended ? "data: [DONE]\n\n"u8 : default]
            : [.. "{\"message\":{\"content\":\"a"u8, 0xF0, 0x9F, .. "\"},\"done\":false}\n"u8, .. ended ? "{\"done\":true}\n"u8 : default];

        var events = Wire.Read(DialectTable.Backend((DialectName)dialect)!, out var whole, stream);

        Assert.Equal(ended, whole);
        Assert.Equal("a\ufffd", WholeAnswer.Of(events).Choices[0].Answer);
    }

    [Theory]
    [InlineData("""{"error":{"message":"m","type":"t","param":"p","code":"c"}}""", "m", "t", "c", "p", null)]
    [InlineData("""{"error":{"message":"m","code":404}}""", "m", null, null, null, 404)]
    [InlineData("""{"error":"m","error_type":"Validation"}""", "m", "Validation", null, null, null)]
    [InlineData("""{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}""", "m", "BadRequestError", null, null, 400)]
    [InlineData("""{"detail":"Not Found"}""", "Not Found", null, null, null, null)]
    [InlineData("""{"detail":[{"type":"missing","loc":["body","messages",0,"content"],"msg":"Field required"}]}""", "messages.0.content: Field required", null,
        null, "messages.0.content", null)]
    [InlineData("""{"error":{"message":"{\"error\":{\"message\":\"deep\",\"code\":500}}","type":"api_error"}}""", "deep", "api_error", null, null, 500)]
    [InlineData("""{"error":{"message":"This model's maximum context length is 4096 tokens","type":"BadRequestError","code":400}}""",
        "This model's maximum context length is 4096 tokens", "BadRequestError", "context_length_exceeded", null, 400)]
    [InlineData("""{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}""",
        "the request exceeds the available context size", "exceed_context_size_error", "context_length_exceeded", null, 400)]
    [InlineData("404 page not found", "404 page not found", null, null, null, null)]
    [InlineData("<html>\n  <b>502</b>\n</html>", "<html> <b>502</b> </html>", null, null, null, null)]
    [InlineData("""{"error":{}}""", """{"error":{}}""", null, null, null, null)]
    [InlineData("""{"error":{"message":"\ud83d"}}""", """{"error":{"message":"\ud83d"}}""", null, null, null, null)]
    [InlineData("", "the host gave no reason", null, null, null, null)]
    [InlineData("  \n", "the host gave no reason", null, null, null, null)]
    public void Hosts_words_Are_found_in_every_form(string body, string message, string? type, string? code, string? param, int? status)
    {
        Assert.Equal(new HostError(message, type, code, param, status), HostErrorBody.Read(Encoding.UTF8.GetBytes(body)));
    }

    [Fact]
    public void Long_body_Is_quoted_shortened()
    {
        var said = HostErrorBody.Read(Encoding.UTF8.GetBytes(new string('x', 5000)));

        Assert.InRange(said.Message.Length, 100, 400);
    }

    [Fact]
    public void Every_dialect_Has_its_name_once()
    {
        Assert.Equal(DialectTable.Clients.Count, DialectTable.Clients.Select(dialect => dialect.Name).Distinct().Count());
        Assert.Equal(DialectTable.Backends.Count, DialectTable.Backends.Select(dialect => dialect.Name).Distinct().Count());
        Assert.All(DialectTable.Clients, dialect => Assert.Same(dialect, DialectTable.Client(dialect.Name)));
        Assert.All(DialectTable.Backends, dialect => Assert.Same(dialect, DialectTable.Backend(dialect.Name)));
        Assert.Null(DialectTable.Client(DialectName.Events));
    }

    [Theory]
    [InlineData("{}", true)]
    [InlineData(" {\"a\":[1,{}]} \n", true)]
    [InlineData("{\"a\":", false)]
    [InlineData("{} x", false)]
    [InlineData("[]", false)]
    [InlineData("7", false)]
    [InlineData("", false)]
    public void Arguments_Are_one_object_or_not(string text, bool isObject) => Assert.Equal(isObject, WireJson.IsObject(text));

    private static string Take(ref TextPieces pieces, ReadOnlySpan<byte> content)
    {
        byte[] json = [(byte)'"', .. content, (byte)'"'];
        var reader = new Utf8JsonReader(json);
        reader.Read();
        return pieces.Take(ref reader);
    }
}
