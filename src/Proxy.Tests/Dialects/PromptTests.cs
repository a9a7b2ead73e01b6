using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>Calls with a text to continue: within and between the dialects that have them, and for hosts that offer only chat.</summary>
public sealed class PromptTests
{
    private const string Completion =
        """
        {"model":"m","prompt":"def f(","suffix":"return x","stream":true,"stream_options":{"include_usage":true},"max_tokens":64,"temperature":0.2,"top_p":0.9,"seed":7,"stop":["\n\n"],"logprobs":2,"presence_penalty":0.5}
        """;

    [Fact]
    public void Completion_Is_said_to_Ollama_as_generate()
    {
        var request = RequestTests.Read(DialectName.OpenAiCompletions, Completion);

        Assert.Null(DialectTable.Backend(DialectName.OllamaGenerate)!.Unsayable(request));
        RequestTests.Same(
            """
            {"model":"m","prompt":"def f(","suffix":"return x","stream":true,"logprobs":true,"top_logprobs":2,
             "options":{"num_predict":64,"temperature":0.2,"top_p":0.9,"seed":7,"presence_penalty":0.5,"stop":["\n\n"]}}
            """, RequestTests.Write(DialectName.OllamaGenerate, request, out var lost));
        Assert.Empty(lost);
        RequestTests.Same("""{"model":"m","prompt":"x","stream":false,"options":{}}""",
            RequestTests.Write(DialectName.OllamaGenerate, RequestTests.Read(DialectName.OpenAiCompletions, """{"model":"m","prompt":["x"]}"""), out _));
    }

    [Fact]
    public void Schema_of_a_completion_Is_said_to_every_host()
    {
        const string Body = """{"model":"m","prompt":"x","response_format":{"type":"json_schema","json_schema":{"name":"trip","strict":true,"schema":{"type":"object"}}}}""";
        var request = RequestTests.Read(DialectName.OpenAiCompletions, Body);

        RequestTests.Same("""{"model":"m","prompt":"x","format":{"type":"object"},"stream":false,"options":{}}""",
            RequestTests.Write(DialectName.OllamaGenerate, request, out var lost));
        Assert.Empty(lost);
        // written in the same dialect again, it equals the original
        RequestTests.Same(Body, RequestTests.Write(DialectName.OpenAiCompletions, request, out lost));
        Assert.Empty(lost);
        RequestTests.Same("""{"model":"m","messages":[{"role":"user","content":"x"}],"stream":false,"response_format":{"type":"json_schema","json_schema":{"name":"trip","strict":true,"schema":{"type":"object"}}}}""", RequestTests.Write(DialectName.OpenAiChat, request, out lost));
        Assert.Empty(lost);
    }

    [Fact]
    public void Generate_Is_said_to_OpenAi_as_a_chat()
    {
        var request = RequestTests.Read(DialectName.OllamaGenerate,
            """
            {"model":"m","prompt":"Look:","system":"Réponds 😀","images":["iVBORw0KGgo="],"format":"json","think":false,"context":[],"suffix":"","template":null,"raw":false,
             "logprobs":true,"top_logprobs":3,"options":{"num_predict":9,"stop":"b"}}
            """);

        Assert.False(request.Prompt!.Continues);
        Assert.Null(request.Prompt.UnsayableInChat());
        RequestTests.Same(
            """
            {"model":"m","messages":[{"role":"system","content":"Réponds 😀"},{"role":"user","content":[{"type":"text","text":"Look:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}],
             "stream":true,"stream_options":{"include_usage":true},"response_format":{"type":"json_object"},"reasoning_effort":"none","logprobs":true,"top_logprobs":3,"max_tokens":9,"stop":["b"]}
            """, RequestTests.Write(DialectName.OpenAiChat, request, out var lost));
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData("\"suffix\":\"b\"", "\"suffix\":\"b\"")]
    [InlineData("\"raw\":true", null)]
    [InlineData("\"template\":\"{{ .Prompt }}\"", null)]
    public void Generate_that_continues_Is_said_to_OpenAi_as_a_completion(string how, string? said)
    {
        var request = RequestTests.Read(DialectName.OllamaGenerate, $$$"""{"model":"m","prompt":"a",{{{how}}},"stream":false,"format":{"type":"object"},"logprobs":true,"options":{"temperature":0,"num_predict":-1}}""");

        Assert.True(request.Prompt!.Continues);
        Assert.Null(DialectTable.Backend(DialectName.OpenAiCompletions)!.Unsayable(request));
        RequestTests.Same(
            """
            {"model":"m","prompt":"a",SAID"stream":false,"logprobs":1,"max_tokens":null,"temperature":0,
             "response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"}}},"json_schema":{"type":"object"}}
            """.Replace("SAID", said is null ? "" : said + ",", StringComparison.Ordinal), RequestTests.Write(DialectName.OpenAiCompletions, request, out var lost));
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":["a","b"],"suffix":"s","echo":true,"best_of":2,"n":2,"logprobs":0,"max_tokens":-1,"stream":true,"stream_options":{"include_usage":true,"x":1},"user":"u","logit_bias":{"5":1},"repetition_penalty":1.1}""")]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":[[1,2],[3]]}""")]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","prompt":"a","suffix":"s","system":"y","template":"{{ .Prompt }}","context":[1,2],"images":["AAAA"],"keep_alive":"5m","truncate":true,"think":"high","format":"json","stream":false,"logprobs":true,"options":{"num_ctx":5,"mirostat":2}}""")]
    internal void Edited_request_Keeps_everything_in_its_own_dialect(DialectName dialect, string body)
    {
        var written = RequestTests.Write(dialect, RequestTests.Read(dialect, body), out var lost);

        var expected = JsonNode.Parse(body)!.AsObject();
        if (dialect is DialectName.OpenAiCompletions && expected["repetition_penalty"] is null) Assert.Equal("""{"model":"m","prompt":[[1,2],[3]]}""", written);
        RequestTests.Same(expected.ToJsonString(), written);
        Assert.Empty(lost);
    }

    [Theory]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, "\"prompt\":\"\"", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, "\"prompt\":[\"a\",\"b\"]", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, "\"prompt\":[1,2]", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, "\"prompt\":[[1,2]]", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, "\"prompt\":\"a\",\"echo\":true", "echo")]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"suffix\":\"b\",\"system\":\"c\"", "system")]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"suffix\":\"b\",\"template\":\"c\"", "template")]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"suffix\":\"b\",\"context\":[1]", "context")]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"raw\":true,\"images\":[\"AAAA\"]", "images")]
    internal void Prompt_that_the_host_cannot_be_given_Is_refused(DialectName from, DialectName to, string members, string field)
    {
        var request = RequestTests.Read(from, $$"""{"model":"m",{{members}}}""");

        var refused = DialectTable.Backend(to)!.Unsayable(request);

        Assert.Equal((ProxyErrorKind.InvalidRequest, field), (refused!.Kind, refused.Param));
        Assert.Contains(field, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DialectName.OllamaGenerate, "\"prompt\":\"a\",\"suffix\":\"b\"", "suffix")]
    [InlineData(DialectName.OllamaGenerate, "\"prompt\":\"a\",\"raw\":true", "raw")]
    [InlineData(DialectName.OllamaGenerate, "\"prompt\":\"a\",\"template\":\"b\"", "template")]
    [InlineData(DialectName.OllamaGenerate, "\"prompt\":\"a\",\"context\":[1]", "context")]
    [InlineData(DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"suffix\":\"b\"", "suffix")]
    [InlineData(DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"echo\":true", "echo")]
    [InlineData(DialectName.OpenAiCompletions, "\"prompt\":[5]", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, "\"prompt\":\"a\",\"echo\":false,\"suffix\":\"\"", null)]
    internal void Prompt_that_a_chat_cannot_say_Is_refused(DialectName from, string members, string? field)
    {
        var refused = RequestTests.Read(from, $$"""{"model":"m",{{members}}}""").Prompt!.UnsayableInChat();

        Assert.Equal(field, refused?.Param);
        if (field is not null) Assert.Equal(ProxyErrorKind.InvalidRequest, refused!.Kind);
    }

    [Fact]
    public void Raw_with_system_Is_refused_in_Ollamas_words()
    {
        var real = JsonNode.Parse(Wire.Recording("ollama/generate.raw_with_system"))!;

        foreach (var other in new[] { "\"system\":\"x\"", "\"template\":\"x\"", "\"context\":[1]" })
        {
            var problem = DialectTable.Client(DialectName.OllamaGenerate)!
                .ReadRequest(Wire.Bytes($$"""{"model":"tiny","prompt":"hi","raw":true,{{other}}}"""), out _);
            Assert.Equal((400, (string)real["error"]!), (problem!.Status, problem.Message));
        }
    }

    [Theory]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m"}""", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":null}""", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":5}""", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":["a",5]}""", "prompt")]
    [InlineData(DialectName.OpenAiCompletions, """{"model":"m","prompt":"a","best_of":"two"}""", "best_of")]
    [InlineData(DialectName.OpenAiCompletions, """{"prompt":"a"}""", "model")]
    [InlineData(DialectName.OllamaGenerate, """{"prompt":"a"}""", "model")]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","prompt":["a"]}""", "prompt")]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","prompt":"a","context":5}""", "context")]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","prompt":"a","images":[5]}""", "images")]
    [InlineData(DialectName.OllamaGenerate, """{"model":"m","prompt":"a","options":[]}""", "options")]
    internal void Member_of_the_wrong_kind_Is_named(DialectName dialect, string body, string field)
    {
        var problem = DialectTable.Client(dialect)!.ReadRequest(Wire.Bytes(body), out var request);

        Assert.Equal((ProxyErrorKind.InvalidRequest, field), (problem!.Kind, problem.Param));
        Assert.Null(request);
    }

    [Theory]
    [InlineData("""{"model":"tiny"}""", "load")]
    [InlineData("""{"model":"tiny","prompt":"","images":["AAAA"]}""", "load")]
    [InlineData("""{"model":"tiny","keep_alive":0}""", "unload")]
    [InlineData("""{"model":"tiny","prompt":"hi","keep_alive":0}""", null)]
    public void Generate_without_a_prompt_Loads(string body, string? reason)
    {
        var client = DialectTable.Client(DialectName.OllamaGenerate)!;

        var events = client.AnswerElsewhere(RequestTests.Read(DialectName.OllamaGenerate, body));

        Assert.Equal(reason is null, events is null);
        if (reason is null) return;
        var whole = JsonNode.Parse(Wire.Text(output => client.WriteWhole(events!, Wire.Stamp, output)))!;
        var real = JsonNode.Parse(Wire.Recording("ollama/generate." + reason))!;
        real["created_at"] = whole["created_at"]!.DeepClone();
        Assert.Equal(real.ToJsonString(), whole.ToJsonString());
    }

    [Fact]
    public void Prompt_dialects_Have_no_place_for_calls()
    {
        List<ChatEvent> events = [new ChatEvent.Token("a"), new ChatEvent.ToolCall(0, "c", "f", "{}"), new ChatEvent.Finished(FinishReason.ToolCalls)];

        foreach (var (name, reason) in new[] { (DialectName.OpenAiCompletions, "\"finish_reason\":\"stop\""),
            (DialectName.OllamaGenerate, "\"done_reason\":\"stop\"") })
        {
            var client = DialectTable.Client(name)!;
            foreach (var written in new[] { Wire.Write(client, events, Wire.Stamp), Wire.Text(output => client.WriteWhole(events, Wire.Stamp, output)) })
            {
                Assert.Contains("\"a\"", written, StringComparison.Ordinal);
                Assert.Contains(reason, written, StringComparison.Ordinal);
                Assert.DoesNotContain("\"c\"", written, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Probabilities_of_a_completion_Are_lists()
    {
        var body = """{"model":"m","created_at":"2026-11-23T06:33:23Z","response":"é😀x","done":true,"done_reason":"stop","logprobs":[{"token":"é","logprob":-0.50,"top_logprobs":[{"token":"é","logprob":-0.50},{"token":"�","logprob":-2},{"token":"�","logprob":-3}]},{"token":"😀","logprob":-1},{"token":"x","logprob":-2}]}""";
        var events = new List<ChatEvent>();
        Assert.True(DialectTable.Backend(DialectName.OllamaGenerate)!.TryReadWhole(Wire.Bytes(body), events));

        var written = Wire.Text(output => DialectTable.Client(DialectName.OpenAiCompletions)!.WriteWhole(events, Wire.Stamp, output));

        Assert.Contains("\"logprobs\":{\"tokens\":[\"é\",\"😀\",\"x\"],\"token_logprobs\":[-0.50,-1,-2],\"top_logprobs\":[{\"é\":-0.50,\"�\":-2},{},{}],\"text_offset\":[0,1,2]}", written, StringComparison.Ordinal);
    }

    [Fact]
    public void Completions_Are_as_the_specification_has_them()
    {
        foreach (var file in Wire.Scenarios.SelectMany(folder => Directory.GetFiles(folder, "completions.*")))
        {
            var text = File.ReadAllText(file);
            var documents = file.EndsWith(".json", StringComparison.Ordinal)
                ? [text]
                : text.Split('\n').Where(line => line.StartsWith("data: {\"id\"", StringComparison.Ordinal)).Select(line => line[6..]).ToArray();
            if (file.EndsWith(".read.jsonl", StringComparison.Ordinal)) continue;

            Assert.NotEmpty(documents);
            // The specification uses one schema for both forms. It does not allow a chunk whose finish reason and usage are still null.
            foreach (var document in documents)
                OpenApiSchema.OpenAi.Valid("CreateCompletionResponse", document.Replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"",
                    StringComparison.Ordinal).Replace(",\"usage\":null", "", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Completion_over_a_host_that_only_chats_Is_one_message()
    {
        var request = RequestTests.Read(DialectName.OpenAiCompletions, """{"model":"m","prompt":"Once","max_tokens":5}""");

        Assert.Null(request.Prompt!.UnsayableInChat());
        RequestTests.Same("""{"model":"m","messages":[{"role":"user","content":"Once"}],"stream":false,"max_tokens":5}""",
            RequestTests.Write(DialectName.OpenAiChat, request, out var lost));
        Assert.Empty(lost);
    }
}
