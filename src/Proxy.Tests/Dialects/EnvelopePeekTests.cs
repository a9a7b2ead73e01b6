using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

public sealed class EnvelopePeekTests
{
    private const string Full =
        """
        {"temperature":1.50,"messages":[{"role":"user","content":"h\u00e9 \"model\" 你好 😀"},{"role":"assistant","content":[{"type":"text","text":"}"}]}],
         "model":"qwen3:8b","tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}],"stream":true,
         "stream_options":{"x":{"include_usage":false},"include_usage":true}}
        """;

    [Fact]
    public void Full_body_Everything_is_found()
    {
        var body = Encoding.UTF8.GetBytes(Full);

        var problem = EnvelopePeek.Read(body, out var envelope);

        Assert.Null(problem);
        Assert.Equal("qwen3:8b", envelope!.Model);
        Assert.Equal("\"qwen3:8b\"", Encoding.UTF8.GetString(body.AsSpan()[envelope.ModelSlice]));
        Assert.True(envelope.Stream);
        Assert.True(envelope.IncludeUsage);
        Assert.Equal("""{"x":{"include_usage":false},"include_usage":true}""", Encoding.UTF8.GetString(body.AsSpan()[envelope.StreamOptionsSlice!.Value]));
        Assert.Equal(2, envelope.Messages);
    }

    [Fact]
    public void Least_body_The_rest_is_unsaid()
    {
        var problem = EnvelopePeek.Read("""{"model":"m"}"""u8, out var envelope);

        Assert.Null(problem);
        Assert.Equal(new ChatEnvelope("m", null, 9..12), envelope);
        Assert.Null(envelope!.Messages);
        Assert.Null(envelope.StreamOptionsSlice);
    }

    [Theory]
    [InlineData("""{"model":"m","stream":null}""", null)]
    [InlineData("""{"model":"m","stream":false}""", false)]
    [InlineData("""{"stream":true,"model":"m"}""", true)]
    [InlineData("""{"str\u0065am":true,"model":"m"}""", true)]
    public void Stream_flag_Is_what_the_body_says(string body, bool? expected)
    {
        Assert.Null(EnvelopePeek.Read(Encoding.UTF8.GetBytes(body), out var envelope));

        Assert.Equal(expected, envelope!.Stream);
    }

    [Theory]
    [InlineData("""{"model":"m","prompt":["a","b"],"input":""}""", 0)]
    [InlineData("""{"model":"m","prompt":["a","b"],"input":[1,2,3]}""", 1)]
    [InlineData("""{"mod\u0065l":"m","prompt":["a","b"],"input":[1,2,3]}""", 1)]
    public void Prompt_and_input_The_later_one_is_counted(string body, int texts)
    {
        Assert.Null(EnvelopePeek.Read(Encoding.UTF8.GetBytes(body), out var envelope));

        Assert.Equal(texts, envelope!.Messages);
    }

    [Fact]
    public void Deep_stream_options_Are_read()
    {
        var deep = new string('[', 64) + new string(']', 64);

        Assert.Null(EnvelopePeek.Read(Encoding.UTF8.GetBytes($$$"""{"model":"m","stream_options":{"x":{{{deep}}},"include_usage":true}}"""), out var envelope));

        Assert.True(envelope!.IncludeUsage);
    }

    [Theory]
    [InlineData("""{"model":"m","stream_options":null}""", "null")]
    [InlineData("""{"model":"m","stream_options":7}""", "7")]
    [InlineData("""{"model":"m","stream_options":{"include_usage":{"a":1}}}""", """{"include_usage":{"a":1}}""")]
    public void Stream_options_without_the_wish_No_usage_but_a_slice(string text, string slice)
    {
        var body = Encoding.UTF8.GetBytes(text);

        Assert.Null(EnvelopePeek.Read(body, out var envelope));

        Assert.False(envelope!.IncludeUsage);
        Assert.Equal(slice, Encoding.UTF8.GetString(body.AsSpan()[envelope.StreamOptionsSlice!.Value]));
    }

    [Theory]
    [InlineData("", null, "empty")]
    [InlineData("   ", null, "not valid JSON")]
    [InlineData("[]", null, "object")]
    [InlineData("\"model\"", null, "object")]
    [InlineData("{}", "model", "no \"model\"")]
    [InlineData("""{"Model":"m"}""", "model", "lower case")]
    [InlineData("""{"model":"a","MODEL":"b"}""", "model", "lower case")]
    [InlineData("""{"model":"a","Mod\u0065l":"b"}""", "model", "lower case")]
    [InlineData("""{"model":null}""", "model", "string")]
    [InlineData("""{"model":7}""", "model", "string")]
    [InlineData("""{"model":["m"]}""", "model", "string")]
    [InlineData("""{"model":""}""", "model", "empty")]
    [InlineData("""{"model":"  "}""", "model", "empty")]
    [InlineData("""{"model":"a","model":"b"}""", "model", "twice")]
    [InlineData("""{"model":"a","messages":[],"mod\u0065l":"a"}""", "model", "twice")]
    [InlineData("""{"model":"é","model":"b"}""", "model", "twice")]
    [InlineData("""{"model":"a","model":"é"}""", "model", "twice")]
    [InlineData("""{"model":" ","model":"b"}""", "model", "empty")]
    [InlineData("""{"model":"a","stream":true,"stream":true}""", "stream", "twice")]
    [InlineData("""{"model":"a","stream":null,"\u0073tream":true}""", "stream", "twice")]
    [InlineData("""{"model":"a","stream_options":{},"stream_options":{}}""", "stream_options", "twice")]
    [InlineData("""{"model":"a","messages":[],"messages":[1]}""", "messages", "twice")]
    [InlineData("""{"model":"a","messages":0,"messages":[1]}""", "messages", "twice")]
    [InlineData("""{"model":"a","stream":"true"}""", "stream", "true or false")]
    [InlineData("""{"model":"a","stream":1}""", "stream", "true or false")]
    [InlineData("""{"model":"a"} x""", null, "line 1, byte 15")]
    [InlineData("""{"model":"a"}{"model":"b"}""", null, "not valid JSON")]
    [InlineData("""{"model":"a",}""", null, "not valid JSON")]
    [InlineData("""{"model":"a"{"stream":true}""", null, "not valid JSON")]
    [InlineData("""{"model":"a" "stream":true}""", null, "not valid JSON")]
    [InlineData("""{"model":"a","messages":[1[2]}""", null, "not valid JSON")]
    [InlineData("""{"model":"a","messages":[1,]}""", null, "not valid JSON")]
    [InlineData("""{"model":"a","messages":]}""", null, "not valid JSON")]
    [InlineData("""{"model":"a","messages":,1]}""", null, "not valid JSON")]
    [InlineData("""{"model":"a","messag\u0065s"}""", null, "not valid JSON")]
    [InlineData("{\"model\":\"a\",\n  no}", null, "line 2, byte 3")]
    [InlineData("""{"model":"\ud83d"}""", null, "Unicode")]
    [InlineData("""{"\ud83dmodel":"a"}""", null, "Unicode")]
    public void Bad_body_Is_refused_with_the_field_and_the_reason(string body, string? param, string says)
    {
        var problem = EnvelopePeek.Read(Encoding.UTF8.GetBytes(body), out var envelope);

        Assert.Null(envelope);
        Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
        Assert.Equal(param, problem.Param);
        Assert.Contains(says, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Body_cut_at_any_byte_Is_refused_and_never_throws()
    {
        var body = Encoding.UTF8.GetBytes(Full.TrimEnd());

        for (var length = 0; length < body.Length; length++)
        {
            var problem = EnvelopePeek.Read(body.AsSpan(0, length), out var envelope);
            Assert.Null(envelope);
            Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
        }
    }

    [Fact]
    public void Body_with_any_byte_spoilt_Never_throws_and_finds_only_what_is_there()
    {
        var clean = Encoding.UTF8.GetBytes(Full);
        byte[] poisons = [0, (byte)'"', (byte)'{', (byte)'}', (byte)'[', (byte)']', (byte)'\\', 0xC3, 0xFF, (byte)',', (byte)' ', (byte)'1'];

        foreach (var poison in poisons)
        {
            for (var at = 0; at < clean.Length; at++)
            {
                var body = clean.ToArray();
                body[at] = poison;
                var problem = EnvelopePeek.Read(body, out var envelope);
                Assert.True(problem is null ^ envelope is null);
                if (envelope is null) continue;
                using var whole = JsonDocument.Parse(body);
                Assert.Equal((byte)'"', body[envelope.ModelSlice][0]);
                Assert.Equal((byte)'"', body[envelope.ModelSlice][^1]);
            }
        }
    }

    [Fact]
    public void Nesting_without_end_Is_refused()
    {
        var body = Encoding.UTF8.GetBytes("{\"model\":\"m\",\"a\":" + new string('[', 100_000));

        var problem = EnvelopePeek.Read(body, out _);

        Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
    }

    [Fact]
    public void Known_model_name_Allocates_the_envelope_alone()
    {
        var body = Encoding.UTF8.GetBytes(Full);
        EnvelopePeek.Read(body, out _);

        var before = GC.GetAllocatedBytesForCurrentThread();
        EnvelopePeek.Read(body, out var envelope);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.NotNull(envelope);
        Assert.InRange(allocated, 1, 100);
    }

    [Fact]
    public void Names_that_share_a_place_Are_told_apart()
    {
        for (var i = 0; i < 500; i++)
        {
            Assert.Null(EnvelopePeek.Read(Encoding.UTF8.GetBytes($$"""{"model":"model-{{i}}"}"""), out var envelope));
            Assert.Equal($"model-{i}", envelope!.Model);
        }
    }

    /// <summary>The fast path and the JSON reader find the same in every body, valid or broken at any byte. An escaped name forces the reader.</summary>
    [Fact]
    public void Quick_look_Sees_what_the_reader_sees()
    {
        var full = Encoding.UTF8.GetBytes(Full);
        var checkedBodies = 0;
        for (var at = 1; at < full.Length; at++)
        {
            foreach (var other in "\"\\{}[]:,0 1e.-tnM\u0001"u8)
            {
                Compare([.. full[..at], other, .. full[(at + 1)..]]); // another byte
                Compare([.. full[..at], other, .. full[at..]]); // one byte more
            }

            Compare([.. full[..at], .. full[(at + 1)..]]); // one byte less
            Compare(full[..at]);
        }

        Assert.True(checkedBodies > 10_000);

        void Compare(byte[] body)
        {
            if (body[0] != '{' || body.AsSpan(1).IndexOfAnyExcept(" \n\r\t"u8) is var first && (first < 0 || body[1 + first] != '"')) return;
            byte[] forced = [.. "{\"\\u0078\":0,"u8, .. body.AsSpan(1)];
            var quick = EnvelopePeek.Read(body, out var seen);
            var thorough = EnvelopePeek.Read(forced, out var read);
            var shift = forced.Length - body.Length;
            Assert.True(quick is null == thorough is null, Encoding.UTF8.GetString(body));
            Assert.Equal(read?.Model, seen?.Model);
            Assert.Equal(read?.Stream, seen?.Stream);
            Assert.Equal(read?.IncludeUsage, seen?.IncludeUsage);
            Assert.Equal(read?.Messages, seen?.Messages);
            if (read is not null)
                Assert.Equal((read.ModelSlice.Start.Value - shift, read.ModelSlice.End.Value - shift),
                    (seen!.ModelSlice.Start.Value, seen.ModelSlice.End.Value));
            if (read?.StreamOptionsSlice is { } options)
                Assert.Equal((options.Start.Value - shift, options.End.Value - shift),
                    (seen!.StreamOptionsSlice!.Value.Start.Value, seen.StreamOptionsSlice.Value.End.Value));
            checkedBodies++;
        }
    }
}
