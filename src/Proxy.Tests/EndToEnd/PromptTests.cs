using System.Text.Json;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>OpenAI's completions and Ollama's generate, each over the other's host, over a host of its own, and by the built-in echo.</summary>
public sealed class PromptTests(PromptTests.Door door) : IClassFixture<PromptTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 12;

        protected override int OllamaLanes => 10;

        /// <summary>A host for each dialect without prompts, by its name.</summary>
        internal Dictionary<string, FakeBackend> Chatting { get; } = [];

        protected override string Sections()
        {
            var sections = """
                [[backends]]
                name = "echo"
                url = "builtin:echo"
                models = ["echo"]

                """;
            foreach (var dialect in new[] { "responses", "anthropic" })
            {
                Chatting[dialect] = Host();
                sections += $"""
                    [[backends]]
                    name = "{dialect}"
                    url = "{Chatting[dialect].Url}"
                    dialects = ["{dialect}"]
                    models = ["{dialect}"]

                    """;
            }

            return sections;
        }
    }

    private static string Chunk(string text, string finish = "null") =>
        $$"""data: {"id":"cmpl-1","object":"text_completion","created":1795000000,"model":"served","choices":["""
            + $$"""{"text":{{OpenAi.Quote(text)}},"index":0,"logprobs":null,"finish_reason":{{finish}}}]}""" + "\n\n";

    private static List<JsonElement> Chunks(RawReply reply) => [.. reply.Events.Where(data => data != "[DONE]").Select(data => JsonElement.Parse(data))];

    private static string Text(IEnumerable<JsonElement> chunks) =>
        string.Concat(chunks.Where(chunk => chunk.GetProperty("choices").GetArrayLength() > 0)
            .Select(chunk => chunk.GetProperty("choices")[0].GetProperty("text").GetString()));

    private static string Response(RawReply reply) => string.Concat(reply.JsonLines.Select(line => line.GetProperty("response").GetString()));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Completions_client_streams_from_an_Ollama_host(bool usage)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Piece("Hé"), Ollama.Piece("llo 😀"), Ollama.LastPiece(reason: "length")));

        var (reply, line) = await door.CallAsync("/v1/completions",
            $$"""{"model":"{{lane.Solo}}","prompt":"Once","suffix":"end","max_tokens":7,"stream":true"""
                + $$"""{{(usage ? ",\"stream_options\":{\"include_usage\":true}" : "")}}}""");

        var asked = Assert.Single(lane.A.Calls);
        Assert.Equal("/api/generate", asked.Target);
        Assert.Equal(("Once", "end", 7, true), (asked.Json.GetProperty("prompt").GetString(), asked.Json.GetProperty("suffix")
            .GetString(), asked.Json.GetProperty("options").GetProperty("num_predict").GetInt32(), asked.Json.GetProperty("stream").GetBoolean()));
        Assert.Equal("text/event-stream", reply.ContentType?.Split(';')[0]);
        var chunks = Chunks(reply);
        Assert.Equal("Héllo 😀", Text(chunks));
        Assert.All(
            chunks, chunk => Assert.Equal(("text_completion", lane.Solo), (chunk.GetProperty("object").GetString(), chunk.GetProperty("model").GetString())));
        Assert.StartsWith("cmpl-", chunks[0].GetProperty("id").GetString(), StringComparison.Ordinal);
        Assert.Equal("length", chunks[usage ? ^2 : ^1].GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        if (usage)
        {
            Assert.Equal(0, chunks[^1].GetProperty("choices").GetArrayLength());
            Assert.Equal(16, chunks[^1].GetProperty("usage").GetProperty("total_tokens").GetInt32());
        }

        Assert.Equal("[DONE]", reply.Events[^1]);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Completions_client_gets_one_answer_from_an_Ollama_host()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(Ollama.LastPiece(" upon")));

        var (reply, _) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}","prompt":["Once"]}""");

        Assert.Equal(200, reply.Status);
        var answer = JsonElement.Parse(reply.Text);
        Assert.Equal(" upon", answer.GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.Equal(JsonValueKind.Null, answer.GetProperty("choices")[0].GetProperty("logprobs").ValueKind);
        Assert.Equal(7, answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32());
        Assert.False(lane.A.Calls[0].Json.GetProperty("stream").GetBoolean());
    }

    [Theory]
    [InlineData("\"prompt\":[\"a\",\"b\"]", "prompt")]
    [InlineData("\"prompt\":[1,2,3]", "prompt")]
    [InlineData("\"prompt\":\"a\",\"echo\":true", "echo")]
    [InlineData("\"n\":1", "prompt")]
    public async Task Completions_client_asks_an_Ollama_host_for_what_it_cannot_do_It_gets_400_and_no_host_is_asked(string members, string field)
    {
        var lane = door.TakeOllama();

        var (reply, line) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}",{{members}}}""");

        Assert.Equal(400, reply.Status);
        Assert.Equal(field, JsonElement.Parse(reply.Text).GetProperty("error").GetProperty("param").GetString());
        Assert.Empty(lane.A.Calls);
        Assert.Equal("refused client 400", line.Verdict);
    }

    [Fact]
    public async Task Ollama_host_breaks_off_Completions_client_gets_an_error_frame()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Piece("half")));

        var (reply, line) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}","prompt":"p","stream":true}""");

        Assert.True(reply.Whole);
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal("backend_error backend 200", line.Verdict);
    }

    [Fact]
    public async Task Generate_client_streams_from_an_OpenAI_host_By_chat()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("Hé", "llo")));

        var (reply, line) = await door.CallAsync(
            "/api/generate", $$"""{"model":"{{lane.Solo}}","prompt":"hi","system":"Be brief.","images":["iVBORw0KGgo="]}""");

        var asked = Assert.Single(lane.A.Calls);
        Assert.Equal("/v1/chat/completions", asked.Target);
        Assert.Equal("Be brief.", asked.Json.GetProperty("messages")[0].GetProperty("content").GetString());
        Assert.Equal("data:image/png;base64,iVBORw0KGgo=", asked.Json.GetProperty("messages")[1].GetProperty("content")[1].GetProperty("image_url")
            .GetProperty("url").GetString());
        Assert.Equal("application/x-ndjson", reply.ContentType);
        Assert.Equal("Héllo", Response(reply));
        var last = reply.JsonLines[^1];
        Assert.Equal((true, "stop", lane.Solo),
            (last.GetProperty("done").GetBoolean(), last.GetProperty("done_reason").GetString(), last.GetProperty("model").GetString()));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Generate_client_gets_one_answer_with_thinking_from_an_OpenAI_host()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(
            OpenAi.Whole("42").Replace("\"refusal\":null", "\"refusal\":null,\"reasoning_content\":\"hm\"", StringComparison.Ordinal)));

        var (reply, _) = await door.CallAsync(
            "/api/generate", $$"""{"model":"{{lane.Solo}}","prompt":"hi","stream":false,"think":"high","format":{"type":"object"} }""");

        Assert.Equal("application/json; charset=utf-8", reply.ContentType);
        var answer = JsonElement.Parse(reply.Text);
        Assert.Equal(("42", "hm", 0, 7), (answer.GetProperty("response").GetString(), answer.GetProperty("thinking").GetString(), answer.GetProperty("context")
            .GetArrayLength(), answer.GetProperty("eval_count").GetInt32()));
        Assert.Equal("high", lane.A.Calls[0].Json.GetProperty("reasoning_effort").GetString());
        Assert.Equal("json_schema", lane.A.Calls[0].Json.GetProperty("response_format").GetProperty("type").GetString());
    }

    [Theory]
    [InlineData("\"raw\":true")]
    [InlineData("\"suffix\":\"return x\"")]
    public async Task Generate_client_has_a_text_to_continue_OpenAI_host_is_asked_for_a_completion(string how)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, Chunk("pa"), Chunk("ss"), Chunk("", "\"stop\""), OpenAi.Done));

        var (reply, line) = await door.CallAsync("/api/generate", $$"""{"model":"{{lane.Solo}}","prompt":"def f():",{{how}}}""");

        Assert.Equal("/v1/completions", lane.A.Calls[0].Target);
        Assert.Equal("def f():", lane.A.Calls[0].Json.GetProperty("prompt").GetString());
        Assert.Equal("pass", Response(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Theory]
    [InlineData("\"context\":[1,2,3]")]
    [InlineData("\"template\":\"{{ .System }}\"")]
    [InlineData("\"raw\":true,\"system\":\"x\"")]
    public async Task Generate_client_asks_an_OpenAI_host_for_what_it_cannot_do_It_gets_400_and_no_host_is_asked(string members)
    {
        var lane = door.Take();

        var (reply, line) = await door.CallAsync("/api/generate", "{\"model\":\"" + lane.Solo + "\",\"prompt\":\"hi\"," + members + "}");

        Assert.Equal(400, reply.Status);
        Assert.NotEmpty(JsonElement.Parse(reply.Text).GetProperty("error").GetString()!);
        Assert.Empty(lane.A.Calls);
        Assert.Equal("refused client 400", line.Verdict);
    }

    [Theory]
    [InlineData("", "load")]
    [InlineData(",\"prompt\":\"\",\"keep_alive\":0", "unload")]
    public async Task Generate_client_loads_over_an_OpenAI_host_It_is_answered_here(string members, string reason)
    {
        var lane = door.Take();

        var (reply, _) = await door.CallAsync("/api/generate", $$"""{"model":"{{lane.Solo}}"{{members}}}""");

        Assert.Equal((200, "application/json; charset=utf-8"), (reply.Status, reply.ContentType));
        var answer = JsonElement.Parse(reply.Text);
        Assert.Equal(["model", "created_at", "response", "done", "done_reason"], answer.EnumerateObject().Select(member => member.Name));
        Assert.Equal(reason, answer.GetProperty("done_reason").GetString());
        Assert.Empty(lane.A.Calls);
    }

    [Fact]
    public async Task Generate_client_over_an_Ollama_host_Bytes_stay()
    {
        var lane = door.TakeOllama();
        var frames = new[] { Ollama.Piece("Hé"), Ollama.Piece("llo"), Ollama.LastPiece() }.Select(
            frame => frame.Replace("\"served\"", $"\"{lane.Solo}\"", StringComparison.Ordinal)).ToArray();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, frames));
        var body = $$"""{"model":"{{lane.Solo}}", "prompt":"hi","context":[1,2],"weird":1.50}""";

        var (reply, line) = await door.CallAsync("/api/generate", body);

        Assert.Equal(("/api/generate", body), (lane.A.Calls[0].Target, System.Text.Encoding.UTF8.GetString(lane.A.Calls[0].Body)));
        Assert.Equal(string.Concat(frames), reply.Text);
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Ollama_host_refuses_the_prompt_Its_words_reach_the_completions_client()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"error":"registry.ollama.ai/library/tiny:latest does not support insert"}""", 400));

        var (reply, _) = await door.CallAsync("/v1/completions", $$"""{"model":"{{lane.Solo}}","prompt":"a","suffix":"b"}""");

        Assert.Equal(400, reply.Status);
        Assert.Contains("does not support insert", JsonElement.Parse(reply.Text).GetProperty("error").GetProperty("message")
            .GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Model_is_unknown_Generate_client_gets_Ollamas_sentence()
    {
        var (reply, _) = await door.CallAsync("/api/generate", """{"model":"nope","prompt":"hi"}""");

        Assert.Equal((404, """{"error":"model 'nope' not found"}"""), (reply.Status, reply.Text));
    }

    [Theory]
    [InlineData("responses", "/v1/responses")]
    [InlineData("anthropic", "/v1/messages")]
    public async Task Host_only_chats_Prompts_are_one_users_message(string dialect, string path)
    {
        var host = door.Chatting[dialect];
        var answer = await File.ReadAllTextAsync(Path.Combine(Wire.Transcripts, "plain", $"{dialect}.whole.json"), TestContext.Current.CancellationToken);
        host.Answer(exchange => exchange.JsonAsync(answer.Trim()));

        var (completion, _) = await door.CallAsync("/v1/completions", $$"""{"model":"{{dialect}}","prompt":"Where is it?","max_tokens":20}""");
        var (generated, _) = await door.CallAsync("/api/generate", $$"""{"model":"{{dialect}}","prompt":"Where is it?","system":"Be brief.","stream":false}""");

        Assert.Equal("The queue holds a \"short\" wait.\n", JsonElement.Parse(completion.Text).GetProperty("choices")[0].GetProperty("text").GetString());
        Assert.Equal("The queue holds a \"short\" wait.\n", JsonElement.Parse(generated.Text).GetProperty("response").GetString());
        Assert.Equal([path, path], host.Calls.Select(call => call.Target));
        Assert.All(host.Calls, call => Assert.Contains("Where is it?", call.Json.ToString(), StringComparison.Ordinal));
        Assert.Contains("Be brief.", host.Calls[1].Json.ToString(), StringComparison.Ordinal);

        foreach (var (surface, members) in new[]
        {
            ("/v1/completions", "\"suffix\":\"b\""), ("/v1/completions", "\"echo\":true"),
            ("/api/generate", "\"raw\":true"), ("/api/generate", "\"context\":[1]"),
        })
        {
            var (refused, line) = await door.CallAsync(surface, $$"""{"model":"{{dialect}}","prompt":"a",{{members}}}""");
            Assert.Equal((400, "refused client 400"), (refused.Status, line.Verdict));
        }

        Assert.Equal(2, host.Calls.Count);
    }

    [Fact]
    public async Task Echo_answers_both()
    {
        var (completion, _) = await door.CallAsync("/v1/completions", """{"model":"echo","prompt":"one two","stream":true}""");
        var (generated, _) = await door.CallAsync("/api/generate", """{"model":"echo","prompt":"one two","stream":false}""");

        Assert.Equal("one two", Text(Chunks(completion)));
        Assert.Equal("one two", JsonElement.Parse(generated.Text).GetProperty("response").GetString());
    }
}
