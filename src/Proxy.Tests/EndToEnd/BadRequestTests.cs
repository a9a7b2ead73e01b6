using System.IO.Compression;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Invalid requests. They reach no host, and the answer says what to do, in the dialect of the path.</summary>
public sealed class BadRequestTests(BadRequestTests.Door door) : IClassFixture<BadRequestTests.Door>
{
    private const int Limit = 64 * 1024;

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 64;

        protected override int OllamaLanes => 2;

        protected override string ServerSettings => "body_limit = \"64KiB\"";
    }

    [Theory]
    [InlineData("/v1/chat/completions", "", 400)]
    [InlineData("/v1/chat/completions", "{", 400)]
    [InlineData("/v1/chat/completions", "not json", 400)]
    [InlineData("/v1/chat/completions", "[]", 400)]
    [InlineData("/v1/chat/completions", "\"text\"", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","messages":[]} trailing""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","messages":[],}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","messages":[]""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","model":"other","messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","messages":[],"model":"MODEL"}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"MODEL","mod\u0065l":"other","messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":7,"messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":null,"messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"","messages":[]}""", 400)]
    [InlineData("/v1/chat/completions", """{"model":"nobody-serves-this","messages":[]}""", 404)]
    [InlineData("/v1/completions", """{"prompt":"x"}""", 400)]
    [InlineData("/v1/completions", """{"model":"nobody-serves-this","prompt":"x"}""", 404)]
    [InlineData("/v1/embeddings", """{"input":"x"}""", 400)]
    [InlineData("/v1/embeddings", """{"model":"MODEL","input":"x","model":"MODEL"}""", 400)]
    [InlineData("/v1/embeddings", """{"model":"nobody-serves-this","input":"x"}""", 404)]
    public async Task OpenAI_request_is_wrong_Client_is_told_and_no_host_is_asked(string path, string body, int status)
    {
        var lane = door.Take();

        var (reply, line) = await door.CallAsync(path, body.Replace("MODEL", lane.Solo, StringComparison.Ordinal));

        Assert.True(status == reply.Status, $"{reply.Status} {reply.Text}");
        Assert.Equal("validation_error", reply.ErrorType);
        Assert.Equal(status, reply.Json.GetProperty("error").GetProperty("status").GetInt32());
        Assert.NotEmpty(reply.ErrorMessage);
        Assert.True(reply.Json.GetProperty("error").TryGetProperty("param", out _));
        Assert.NotNull(reply.ErrorCode);
        Assert.Equal($"refused client {status}", line.Verdict);
        Assert.Empty(lane.A.Calls);
        if (status == 404)
        {
            Assert.Equal("model_not_found", reply.ErrorCode);
            Assert.Contains("nobody-serves-this", reply.ErrorMessage, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("", 400)]
    [InlineData("{", 400)]
    [InlineData("""{"model":"MODEL","model":"other","messages":[]}""", 400)]
    [InlineData("""{"messages":[]}""", 400)]
    [InlineData("""{"model":"nobody-serves-this","messages":[]}""", 404)]
    public async Task Ollama_request_is_wrong_Client_is_told_in_Ollamas_form(string body, int status)
    {
        var lane = door.Take();

        var (reply, line) = await door.CallAsync("/api/chat", body.Replace("MODEL", lane.Solo, StringComparison.Ordinal));

        Assert.True(status == reply.Status, $"{reply.Status} {reply.Text}");
        Assert.NotEmpty(reply.Json.GetProperty("error").GetString()!);
        Assert.Equal($"refused client {status}", line.Verdict);
        Assert.Empty(lane.A.Calls);
        if (status == 404)
            Assert.StartsWith("model 'nobody-serves-this' not found", reply.Json.GetProperty("error").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    // as recorded from Ollama
    [InlineData("/api/chat", "\"nonsense\"", """invalid think value: "nonsense" (must be "high", "medium", "low", "max", true, or false)""")]
    [InlineData("/api/chat", "\"\"", """invalid think value: "" (must be "high", "medium", "low", "max", true, or false)""")]
    [InlineData("/api/chat", "1", """think must be a boolean or string ("high", "medium", "low", "max", true, or false)""")]
    [InlineData("/api/generate", "{\"budget\":1}", """think must be a boolean or string ("high", "medium", "low", "max", true, or false)""")]
    public async Task Think_is_no_such_thing_Client_is_told_in_Ollamas_words(string path, string think, string words)
    {
        var lane = door.Take();

        var (reply, line) = await door.CallAsync(
            path, $$"""{"model":"{{lane.Solo}}","messages":[{"role":"user","content":"x"}],"prompt":"x","think":{{think}} }""");

        Assert.True(reply.Status == 400, $"{reply.Status} {reply.Text}");
        Assert.Equal(words, reply.Json.GetProperty("error").GetString());
        Assert.Equal("refused client 400", line.Verdict);
        Assert.Empty(lane.A.Calls);
    }

    [Theory]
    [InlineData("\"nonsense\"")]
    [InlineData("1")]
    public async Task Think_is_no_such_thing_An_Ollama_host_decides(string think)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"error":"the host's own words"}""", 400));

        var (reply, _) = await door.OllamaChatAsync(lane.Solo, stream: false, $",\"think\":{think}");

        Assert.Equal("""400 {"error":"the host's own words"}""", $"{reply.Status} {reply.Text}");
        Assert.Equal(think, lane.A.Calls[0].Json.GetProperty("think").GetRawText());
    }

    [Theory]
    [InlineData("""{"metadata":{"model":"other"},"model":"MODEL","messages":[{"role":"user","content":"\"model\":\"x\""}]}""")]
    [InlineData("""{ "messages" : [ ] , "model" : "MODEL" , "tools":[{"model":"x"}] }""")]
    [InlineData("""{"mod\u0065l":"MODEL","messages":[]}""")]
    public async Task Model_is_named_elsewhere_too_Only_the_outer_key_counts(string body)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));

        var (reply, _) = await door.CallAsync("/v1/chat/completions", body.Replace("MODEL", lane.Solo, StringComparison.Ordinal));

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(body.Replace("MODEL", lane.Solo, StringComparison.Ordinal), lane.A.Calls[0].Text);
    }

    [Fact]
    public async Task Body_says_it_is_too_large_Client_gets_413()
    {
        var lane = door.Take();

        var (reply, line) = await door.ChatAsync(lane.Solo, stream: false, $",\"filler\":\"{new string('x', Limit)}\"");

        Assert.Equal(413, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
        Assert.Contains("65536", reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("refused client 413", line.Verdict);
        Assert.Empty(lane.A.Calls);
    }

    [Fact]
    public async Task Chunked_body_grows_too_large_Client_gets_413()
    {
        var lane = door.Take();
        var correlation = FrontDoor.Correlation();
        await using var client = await RawClient.ConnectAsync(door.Address);
        var piece = Encoding.ASCII.GetBytes("4000\r\n" + new string(' ', 0x4000) + "\r\n");

        await client.RequestAsync(
            "POST", "/v1/chat/completions", default(ReadOnlyMemory<byte>), "Transfer-Encoding: chunked", $"x-correlation-id: {correlation}");
        for (var i = 0; i < 5; i++)
            await client.SendAsync(piece);
        var reply = await client.ReadReplyAsync();

        Assert.Equal(413, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
        Assert.Equal("refused client 413", (await door.Proxy.Log.CallAsync(correlation)).Verdict);
        Assert.Empty(lane.A.Calls);
    }

    [Fact]
    public async Task Ollama_body_is_too_large_Client_gets_413_in_Ollamas_form()
    {
        var lane = door.Take();

        var (reply, _) = await door.OllamaChatAsync(lane.Solo, stream: false, $",\"filler\":\"{new string('x', Limit)}\"");

        Assert.Equal(413, reply.Status);
        Assert.NotEmpty(reply.Json.GetProperty("error").GetString()!);
    }

    [Fact]
    public async Task Body_is_just_within_the_limit_It_is_relayed()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        var bare = OpenAi.Request(lane.Solo, more: ",\"filler\":\"\"").Length;
        var body = OpenAi.Request(lane.Solo, more: $",\"filler\":\"{new string('x', Limit - bare)}\"");
        Assert.Equal(Limit, body.Length);

        var (reply, _) = await door.CallAsync("/v1/chat/completions", body);

        Assert.Equal(200, reply.Status);
        Assert.Equal(body, lane.A.Calls[0].Text);
    }

    [Fact]
    public async Task Body_comes_byte_by_byte_in_chunks_It_is_relayed_whole()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        var body = OpenAi.Request(lane.Solo, text: "é😀");
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.RequestAsync("POST", "/v1/chat/completions", default(ReadOnlyMemory<byte>), "Transfer-Encoding: chunked");
        foreach (var one in Encoding.UTF8.GetBytes(body))
            await client.SendAsync((byte[])[.. "1\r\n"u8, one, .. "\r\n"u8]);
        await client.SendAsync("0\r\n\r\n"u8.ToArray());
        var reply = await client.ReadReplyAsync();

        Assert.Equal(200, reply.Status);
        Assert.Equal(body, lane.A.Calls[0].Text);
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task Compressed_body_It_is_decoded(string coding)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        var body = OpenAi.Request(lane.Solo, text: "é😀");

        var reply = await RawClient.SendAsync(door.Address, "POST", "/v1/chat/completions", Compress(coding, body), $"Content-Encoding: {coding}");

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal(body, lane.A.Calls[0].Text);
        Assert.Null(lane.A.Calls[0].Header("content-encoding"));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    public async Task Compressed_body_unfolds_beyond_the_limit_Client_gets_413(string coding)
    {
        var lane = door.Take();
        var bomb = Compress(coding, OpenAi.Request(lane.Solo, text: new string('x', 10 * Limit)));
        Assert.InRange(bomb.Length, 1, Limit / 10);

        var reply = await RawClient.SendAsync(door.Address, "POST", "/v1/chat/completions", bomb, $"Content-Encoding: {coding}");

        Assert.Equal(413, reply.Status);
        Assert.Empty(lane.A.Calls);
    }

    [Fact]
    public async Task Compressed_body_is_broken_Client_gets_400()
    {
        var reply = await RawClient.SendAsync(door.Address, "POST", "/v1/chat/completions", "this is no gzip"u8.ToArray(), "Content-Encoding: gzip");

        Assert.Equal(400, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
    }

    [Fact]
    public async Task Unknown_content_encoding_Client_gets_415()
    {
        var reply = await RawClient.SendAsync(door.Address, "POST", "/v1/chat/completions", "{}"u8.ToArray(), "Content-Encoding: snappy");

        Assert.Equal(415, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
    }

    [Theory]
    [InlineData("GET", "/v1/chat/completions", 405)]
    [InlineData("DELETE", "/api/chat", 405)]
    [InlineData("POST", "/nowhere", 404)]
    [InlineData("GET", "/v2/models", 404)]
    public async Task Wrong_method_or_path_Client_is_told(string method, string path, int status)
    {
        var reply = await RawClient.SendAsync(door.Address, method, path, method == "POST" ? "{}"u8.ToArray() : null);

        Assert.Equal(status, reply.Status);
        Assert.True(reply.Json.TryGetProperty("error", out _), reply.Text);
    }

    [Theory]
    [InlineData("x-workspace: docs", 404)]
    [InlineData("x-pipeline: support")]
    [InlineData("x-route: rag")]
    [InlineData("x-route: workflow")]
    [InlineData("x-route: nonsense")]
    public async Task Header_asks_for_what_is_not_there_The_call_is_refused(string header, int status = 400)
    {
        var lane = door.Take();

        var (reply, line) = await door.ChatAsync(lane.Solo, stream: true, "", header);

        Assert.Equal(status, reply.Status);
        Assert.Equal("validation_error", reply.ErrorType);
        Assert.Contains(header.Split(':')[0][2..], reply.ErrorMessage, StringComparison.OrdinalIgnoreCase);
        Assert.Equal($"refused client {status}", line.Verdict);
        Assert.Empty(lane.A.Calls);
    }

    [Theory]
    [InlineData("x-workspace: docs", 404)]
    [InlineData("x-pipeline: support")]
    public async Task Ollama_header_asks_for_what_is_not_there_The_call_is_refused_in_Ollamas_form(string header, int status = 400)
    {
        var lane = door.Take();

        var (reply, _) = await door.OllamaChatAsync(lane.Solo, stream: true, "", header);

        Assert.Equal(status, reply.Status);
        Assert.Contains(header.Split(':')[0][2..], reply.Json.GetProperty("error").GetString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Route_direct_is_asked_for_The_call_is_served()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));

        var (reply, line) = await door.ChatAsync(lane.Solo, stream: false, "", "x-route: direct");

        Assert.Equal(200, reply.Status);
        Assert.Equal("direct", line["route"]);
    }

    private static byte[] Compress(string coding, string text)
    {
        using var target = new MemoryStream();
        using (Stream packing = coding == "gzip" ? new GZipStream(target, CompressionLevel.Optimal) : new BrotliStream(target, CompressionLevel.Optimal))
            packing.Write(Encoding.UTF8.GetBytes(text));
        return target.ToArray();
    }
}
