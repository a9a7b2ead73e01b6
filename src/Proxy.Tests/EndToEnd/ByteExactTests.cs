using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Within one dialect only the model's name may differ, however a stream is cut.</summary>
public sealed partial class ByteExactTests(ByteExactTests.Door door) : IClassFixture<ByteExactTests.Door>
{
    /// <summary>Details that a careless rewrite would change.</summary>
    private const string Odd =
        """{ "z":1.50,"unknown_field":{"b":[1E+2,-0.0,12345678901234567890],"a":null},  "mod":"é","model" : "MODEL" ,"messages":["""
            + """{"role":"user","content":"h\u00e9llo é 😀 \ud83d\ude00 \/ <b> \t","name":"x","model":"inner"}],"temperature":1.50,"seed":1e-07"""
            + ""","stream":STREAM,"stream_options":{"include_usage":true,"x":1.0},"a":[ ] }""";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 28;

        protected override int OllamaLanes => 10;

        // Requests the lane's host under another name with another length.
        protected override string Sections() =>
            "[aliases]\n" + string.Join('\n', Enumerable.Range(0, Lanes + OllamaLanes).Select(number => $"\"alias{number}\" = \"solo{number}-m\""));

        internal static string Alias(Lane lane) => "alias" + lane.NameA[1..];
    }

    [Theory]
    [InlineData("/v1/chat/completions", false, false)]
    [InlineData("/v1/chat/completions", false, true)]
    [InlineData("/v1/chat/completions", true, false)]
    [InlineData("/v1/chat/completions", true, true)]
    [InlineData("/v1/completions", false, true)]
    [InlineData("/v1/embeddings", false, true)]
    [InlineData("/api/chat", false, false)]
    [InlineData("/api/chat", false, true)]
    [InlineData("/api/chat", true, false)]
    [InlineData("/api/chat", true, true)]
    public async Task Request_is_odd_Host_gets_it_byte_for_byte_but_for_the_models_name(string path, bool stream, bool renamed)
    {
        var ollama = path.StartsWith("/api", StringComparison.Ordinal);
        var lane = ollama ? door.TakeOllama() : door.Take();
        lane.A.Answer(exchange => (ollama, stream) switch
        {
            (false, false) => exchange.JsonAsync(OpenAi.Whole("fine")),
            (false, true) => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("fine")),
            (true, false) => exchange.JsonAsync(Ollama.Last(text: "fine")),
            (true, true) => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("fine")),
        });
        var odd = Odd.Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal);

        var reply = await door.PostAsync(path, odd.Replace("MODEL", renamed ? Door.Alias(lane) : lane.Solo, StringComparison.Ordinal));

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(odd.Replace("MODEL", lane.Solo, StringComparison.Ordinal), Assert.Single(lane.A.Calls).Text);
        Assert.Equal(path, lane.A.Calls[0].Target);
    }

    [Theory]
    [InlineData(false, "", "\"stream_options\":{\"include_usage\":true},", "")]
    [InlineData(true, "", "\"stream_options\":{\"include_usage\":true},", "")]
    [InlineData(false, ""","stream_options":null""", "", ""","stream_options":{"include_usage":true}""")]
    [InlineData(true, ""","stream_options": { } ,"x":1.50""", "", ""","stream_options": {"include_usage":true} ,"x":1.50""")]
    [InlineData(false, ""","stream_options":{ "x":1.50 }""", "", ""","stream_options":{"include_usage":true, "x":1.50 }""")]
    [InlineData(true, ""","stream_options":{"include_usage":false,"x":1.50}""", "", ""","stream_options":{"include_usage":true,"x":1.50}""")]
    public async Task Streaming_request_does_not_ask_for_usage_The_log_has_it_and_the_client_does_not(
        bool renamed, string options, string before, string instead)
    {
        var lane = door.Take();
        lane.A.Answer(exchange =>
        {
            var asked = exchange.Request.Json.TryGetProperty("stream_options", out var wish) && wish.GetProperty("include_usage").GetBoolean();
            string[] usage = asked ? ["""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":"""
                + """[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n"] : [];
            return exchange.StreamAsync(OpenAi.Sse, [OpenAi.Role(), OpenAi.Token("fine"), OpenAi.Stop(), .. usage, OpenAi.Done]);
        });
        var name = renamed ? Door.Alias(lane) : lane.Solo;

        var (reply, line) = await door.ChatAsync(name, stream: true, options);

        Assert.Equal(string.Concat(OpenAi.Stream("fine")).Replace("\"served\"", renamed ? $"\"{name}\"" : "\"served\"", StringComparison.Ordinal), reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("9 7", $"{line["tokens_in"]} {line["tokens_out"]}");
        var body = Assert.Single(lane.A.Calls).Text;
        Assert.StartsWith("{" + before, body, StringComparison.Ordinal);
        Assert.Contains($"\"model\":\"{lane.Solo}\"", body, StringComparison.Ordinal);
        if (instead.Length > 0) Assert.Contains(instead, body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whole_answer_is_odd_Client_gets_it_byte_for_byte_but_for_the_models_name(bool renamed)
    {
        var lane = door.Take();
        const string Answer = """{"id":"x","unknown":{"model":"SERVED"},"n":1.50,"model" :  "SERVED","choices":[{"index":0,"message":"""
            + """{"content":"\u00e9 é 😀 \"model\":\"SERVED\"","role":"assistant","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":"""
            + """{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16},"z":[ ] } """;
        lane.A.Answer(exchange => exchange.JsonAsync(Answer.Replace("SERVED", lane.Solo, StringComparison.Ordinal)));

        var asked = renamed ? Door.Alias(lane) : lane.Solo;
        var (reply, line) = await door.ChatAsync(asked, stream: false);

        var expected = Answer.Replace("\"model\" :  \"SERVED\"", $"\"model\" :  \"{asked}\"", StringComparison.Ordinal)
            .Replace("SERVED", lane.Solo, StringComparison.Ordinal);
        Assert.Equal(expected, reply.Text);
        Assert.Equal("9 7", $"{line["tokens_in"]} {line["tokens_out"]}");
        Assert.Equal($"{asked} {lane.Solo}", $"{line["model"]} {line["served"]}");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stream_is_odd_Client_gets_it_byte_for_byte_but_for_the_models_name(bool renamed)
    {
        var lane = door.Take();
        const string Stream =
            ": a comment of the host\n\n" +
            "data: {\"model\":\"SERVED\",\"n\":1.50,\"choices\":[{\"delta\":{\"content\":\"\\u00e9 é 😀 \\\"model\\\":\\\"SERVED\\\"\",\"model\":\"SERVED\"}"
                + ",\"index\":0}],\"x\":null}\n\n" +
            "event: odd\nid: 7\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}],\"model\" : \"SERVED\"}\n\n" +
            "data:{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n" +
            "data: {\"choices\":[],\"model\":\"SERVED\",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,\"total_tokens\":16}}\n\n" +
            "data: [DONE]\n\n";
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, Stream.Replace("SERVED", lane.Solo, StringComparison.Ordinal)));

        var asked = renamed ? Door.Alias(lane) : lane.Solo;
        var (reply, line) = await door.ChatAsync(asked, stream: true, ",\"stream_options\":{\"include_usage\":true}");

        var expected = Stream
            .Replace("{\"model\":\"SERVED\",\"n\"", $"{{\"model\":\"{asked}\",\"n\"", StringComparison.Ordinal)
            .Replace("\"model\" : \"SERVED\"", $"\"model\" : \"{asked}\"", StringComparison.Ordinal)
            .Replace("[],\"model\":\"SERVED\"", $"[],\"model\":\"{asked}\"", StringComparison.Ordinal)
            .Replace("SERVED", lane.Solo, StringComparison.Ordinal);
        Assert.Equal(expected, reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("9 7", $"{line["tokens_in"]} {line["tokens_out"]}");
    }

    [Fact]
    public async Task Ollama_stream_is_odd_Client_gets_it_byte_for_byte()
    {
        var lane = door.TakeOllama();
        const string Stream =
            "{\"z\":1.50,\"message\":{\"role\":\"assistant\",\"content\":\"\\u00e9 é 😀\",\"x\":{\"model\":\"y\"}},\"model\":\"m\",\"done\":false}\r\n" +
            "{\"model\":\"m\",\"message\":{\"content\":\"b\",\"role\":\"assistant\"},\"done\" : false, \"new\":[1E2]}\n" +
            "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":9"
                + ",\"eval_count\":7}\n";
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Stream));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal(Stream, reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("9 7", $"{line["tokens_in"]} {line["tokens_out"]}");
    }

    [Theory]
    [InlineData("verbatim")]
    [InlineData("renamed")]
    [InlineData("Ollama verbatim")]
    [InlineData("Ollama renamed")]
    [InlineData("from Ollama")]
    [InlineData("to Ollama")]
    public async Task Answer_is_cut_at_every_byte_Client_gets_the_same(string way)
    {
        var toOllamaHost = way.Contains("Ollama", StringComparison.Ordinal) && way != "to Ollama";
        var ollamaClient = way.StartsWith("Ollama", StringComparison.Ordinal) || way == "to Ollama";
        var renamed = way.EndsWith("renamed", StringComparison.Ordinal);
        var lane = toOllamaHost ? door.TakeOllama() : door.Take();
        // The host's answer on the wire, head and chunk framing included.
        string[] frames = toOllamaHost
            ? [Ollama.Token("é😀", lane.Solo), Ollama.Last(lane.Solo)]
            : [OpenAi.Token("é😀", lane.Solo), OpenAi.Stop(lane.Solo), OpenAi.Done];
        var wire = Encoding.UTF8.GetBytes($"HTTP/1.1 200 OK\r\nContent-Type: {(toOllamaHost ? Ollama.Lines : OpenAi.Sse)}\r\nTransfer-Encoding: chunked\r\n\r\n"
            + string.Concat(frames.Select(frame => $"{Encoding.UTF8.GetByteCount(frame):x}\r\n{frame}\r\n")) + "0\r\n\r\n");
        lane.A.Answer(async exchange =>
        {
            var cut = int.Parse(exchange.Request.Json.GetProperty("messages")[0].GetProperty("content").GetString()!, CultureInfo.InvariantCulture);
            await exchange.SendAsync(wire.AsMemory(0, cut));
            if (cut > 0)
                await Task.Delay(2);
            await exchange.SendAsync(wire.AsMemory(cut));
            exchange.Finish();
        });
        var model = renamed ? Door.Alias(lane) : lane.Solo;
        var path = ollamaClient ? "/api/chat" : "/v1/chat/completions";

        var answers = new string[wire.Length];
        var next = -1;
        await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
        {
            await using var client = await RawClient.ConnectAsync(door.Address);
            for (var cut = Interlocked.Increment(ref next); cut < answers.Length; cut = Interlocked.Increment(ref next))
            {
                var text = cut.ToString(CultureInfo.InvariantCulture);
                await client.RequestAsync(
                    "POST", path, Encoding.UTF8.GetBytes(ollamaClient ? Ollama.Request(model, true, text: text) : OpenAi.Request(model, true, text: text)));
                var reply = await client.ReadReplyAsync();
                answers[cut] = reply.Status == 200 && reply.Whole ? Steady(reply.Text) : $"{reply.Status} {reply.Whole} {reply.Text}";
            }
        }));

        var expected = toOllamaHost == ollamaClient ? Steady(string.Concat(frames).Replace(lane.Solo, model, StringComparison.Ordinal)) : answers[0];
        Assert.Contains(toOllamaHost == ollamaClient ? "é😀" : "\"content\":\"", expected, StringComparison.Ordinal);
        Assert.All(answers, answer => Assert.Equal(expected, answer));
        Assert.Equal(wire.Length, lane.A.Calls.Count);
    }

    [Fact]
    public async Task Answer_comes_byte_by_byte_Client_gets_the_same()
    {
        var lane = door.Take();
        var stream = string.Concat(OpenAi.Stream("é", "😀"));
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            foreach (var one in Encoding.UTF8.GetBytes(stream))
                await exchange.ChunkAsync(new[] { one });
            await exchange.EndAsync();
        });

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal(stream, reply.Text);
    }

    [Fact]
    public async Task Token_is_sent_Client_reads_it_before_the_host_goes_on()
    {
        // Frames are neither batched nor delayed: each must reach the client while the host waits for that.
        var lane = door.Take();
        var seen = new SemaphoreSlim(0);
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role());
            for (var i = 0; i < 20; i++)
            {
                await exchange.ChunkAsync(OpenAi.Token($"<{i}>"));
                await Patience.For(seen.WaitAsync(), "the client to read a token");
            }

            await exchange.ChunkAsync(OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });
        await using var client = await RawClient.ConnectAsync(door.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)));
        await client.ReadHeadAsync();

        for (var i = 0; i < 20; i++)
        {
            await client.ReadUntilAsync($"<{i}>");
            seen.Release();
        }

        Assert.True((await client.ReadRestAsync()).Whole);
    }

    /// <summary>A translated answer has a time and id of its own; these are made equal before comparing.</summary>
    private static string Steady(string text) => Moments().Replace(text, "$1\"*\"");

    [GeneratedRegex("""("(?:id|created|created_at|total_duration|load_duration|prompt_eval_duration|eval_duration)":)(?:"[^"]*"|\d+)""")]
    private static partial Regex Moments();
}
