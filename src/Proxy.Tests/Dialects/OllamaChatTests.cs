using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Tests.Dialects;

public sealed class OllamaChatTests
{
    private static readonly BackendDialect Backend = DialectTable.Backend(DialectName.OllamaChat)!;
    private static readonly ClientDialect Client = DialectTable.Client(DialectName.OllamaChat)!;

    [Theory]
    [InlineData("""{"model":"m","message":{"role":"assistant","content":""},"done":false}""", FrameKind.Preamble)]
    [InlineData("""{"model":"m","message":{"role":"assistant","content":"","tool_calls":[],"thinking":""},"done":false}""", FrameKind.Preamble)]
    [InlineData("""{"model":"m","message":{"role":"assistant","content":"x"},"done":false}""", FrameKind.Content)]
    [InlineData("""{"model":"m","message":{"role":"assistant","content":"","thinking":"x"},"done":false}""", FrameKind.Content)]
    [InlineData("""{"model":"m","message":{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"done":true}}}]},"done":false}""",
        FrameKind.Content)]
    [InlineData("""{"model":"m","message":{"role":"assistant","content":"x"},"done":true}""", FrameKind.End)]
    [InlineData("""{"done": true,"message":{"role":"assistant","content":"x"}}""", FrameKind.End)]
    [InlineData("""{"error":"no"}""", FrameKind.Error)]
    [InlineData("""{"message":{"content":"x"},"done":false,"error":"no"}""", FrameKind.Error)]
    [InlineData("404 page not found", FrameKind.Error)]
    [InlineData("""{"message":{"content":"x""", FrameKind.Error)]
    public void Frame_Is_what_it_says(string frame, object kind)
    {
        Assert.Equal(kind, Backend.Classify(Wire.Bytes(frame)));
        Assert.Equal((FrameKind)kind is FrameKind.End, Backend.IsEnd(Wire.Bytes(frame)));
        Assert.Equal((FrameKind)kind is FrameKind.End, Backend.IsWholeAnswer(Wire.Bytes(frame)));
    }

    [Theory]
    [InlineData("""{"done":true,"prompt_eval_count":9,"eval_count":7}""", 9, 7)]
    [InlineData("""{"done":true,"eval_count":7}""", 0, 7)]
    [InlineData("""{"message":{"content":"\"eval_count\": 5"},"done":false}""", null, null)]
    [InlineData("""{"message":{"tool_calls":[{"function":{"arguments":{"eval_count":5}}}]},"done":false}""", null, null)]
    [InlineData("""{"done":true,"eval_count":""", null, null)]
    public void Token_counts_Are_found_where_they_are(string frame, int? input, int? output)
    {
        var usage = Backend.FindUsage(Wire.Bytes(frame));

        Assert.Equal(input, usage?.InputTokens);
        Assert.Equal(output, usage?.OutputTokens);
    }

    [Fact]
    public void Calls_over_several_lines_Are_counted_whatever_index_the_host_gives()
    {
        var events = Wire.Read(Backend,
            """
            {"message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"f","arguments":{"a": 1.50}}}]},"done":false}
            {"message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"g","arguments":{}}}]},"done":false}
            {"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}

            """);

        Assert.Equal([(0, "f", "{\"a\": 1.50}"), (1, "g", "{}")],
            events.OfType<ChatEvent.ToolCall>().Select(call => (call.Index, call.Name!, call.Arguments!)));
        Assert.Equal(FinishReason.ToolCalls, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
    }

    [Fact]
    public void Error_in_the_stream_Ends_it()
    {
        var events = Wire.Read(Backend, "{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"error\":\"{\\\"error\\\": {\\\"message\\\": \\\"the engine broke\\\"}}\"}\n{\"done\":true}\n");

        Assert.Equal("the engine broke", Assert.IsType<ChatEvent.Finished>(events[^1]).Error!.Message);
        Assert.Single(events.OfType<ChatEvent.Finished>());
    }

    [Fact]
    public void Error_kinds_All_are_one_sentence()
    {
        foreach (var kind in Enum.GetValues<ProxyErrorKind>())
        {
            Assert.Equal("""{"error":"why \"é\""}""", Wire.Text(output => Client.WriteError(new ProxyError(kind, "why \"é\""), "t", output)));
        }

        Assert.Equal("{\"error\":\"why\"}\n", Wire.Text(output => Client.WriteStreamError(new ProxyError(ProxyErrorKind.HostFailed, "why"), "t", output)));
    }

    [Fact]
    public void Unknown_model_Is_said_as_Ollama_says_it()
    {
        var error = new ProxyError(ProxyErrorKind.UnknownModel, "no backend serves it") { Model = "nope" };

        Assert.Equal(System.Text.Encoding.UTF8.GetString(Wire.Recording("ollama/chat.unknown_model")),
            Wire.Text(output => Client.WriteError(error, "t", output)));
    }

    [Fact]
    public void Broken_stream_Has_no_last_line()
    {
        var stream = Wire.Write(Client, [new ChatEvent.Token("x"), new ChatEvent.Finished(FinishReason.Error, Error: new(ProxyErrorKind.HostFailed, "gone"))],
            Wire.Stamp);

        Assert.EndsWith("{\"error\":\"gone\"}\n", stream, StringComparison.Ordinal);
        Assert.DoesNotContain("\"done\":true", stream, StringComparison.Ordinal);
    }

    [Fact]
    public void Quiet_Writes_nothing()
    {
        Assert.True(Client.KeepAlive.IsEmpty);
        Assert.Equal("", Wire.Text(output => Client.NewEventWriter(Wire.Stamp).Write(ChatEvent.Quiet.Now, output)));
    }

    [Theory]
    [InlineData("2026-11-23T06:33:23.0000000Z", 0)]
    [InlineData("2026-11-23T06:33:23.0000001Z", 1)]
    public void Time_Is_utc_with_fractions(string expected, long ticks)
    {
        var stamp = Wire.Stamp with { Created = new DateTimeOffset(2026, 11, 23, 8, 33, 23, TimeSpan.FromHours(2)).AddTicks(ticks) };

        var line = JsonNode.Parse(Wire.Write(Client, [new ChatEvent.Finished(FinishReason.Stop)], stamp))!;

        Assert.Equal(expected, (string)line["created_at"]!);
    }

    [Fact]
    public void Tags_Have_every_member_that_clients_require()
    {
        var recorded = JsonDocument.Parse(Wire.Recording("ollama/tags")).RootElement.GetProperty("models")[0];
        var models = new List<ModelListing>
        {
            new("embed:latest")
            {
                Created = recorded.GetProperty("modified_at").GetDateTimeOffset(),
                Size = recorded.GetProperty("size").GetInt64(),
                Digest = recorded.GetProperty("digest").GetString(),
                Details = recorded.GetProperty("details"),
                Capabilities = ["embedding"],
            },
            new("qwen3") { ContextLength = 40960 },
        };

        var written = JsonNode.Parse(Wire.Text(output => OllamaListing.WriteTags(models, output)))!["models"]!.AsArray();

        var real = JsonNode.Parse(recorded.GetRawText())!;
        real["modified_at"] = written[0]!["modified_at"]!.DeepClone(); // Ollama's time has nanoseconds
        Assert.Equal(real.ToJsonString(), written[0]!.ToJsonString());
        Assert.Equal("""{"parent_model":"","format":"","family":"","families":[],"parameter_size":"","quantization_level":"","context_length":40960}""",
            written[1]!["details"]!.ToJsonString());
        Assert.Equal(64, ((string)written[1]!["digest"]!).Length);
        Assert.Equal(["name", "model", "modified_at", "size", "digest", "details"], written[1]!.AsObject().Select(member => member.Key));
    }

    [Fact]
    public void Version_Is_one_that_editors_accept() =>
        Assert.True(Version.Parse((string)JsonNode.Parse(OllamaListing.Version)!["version"]!) >= new Version(0, 6, 4));
}
