using System.Text;
using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>Reads the recorded bytes of real servers as events, and compares them with a plain JSON parse of the same bytes.</summary>
public sealed class RecordingTests
{
    private static readonly BackendDialect OpenAi = DialectTable.Backend(DialectName.OpenAiChat)!;
    private static readonly BackendDialect Completions = DialectTable.Backend(DialectName.OpenAiCompletions)!;
    private static readonly BackendDialect Generate = DialectTable.Backend(DialectName.OllamaGenerate)!;
    private static readonly BackendDialect Ollama = DialectTable.Backend(DialectName.OllamaChat)!;

    [Theory]
    [InlineData("llama.cpp/chat.stream")]
    [InlineData("llama.cpp/chat.stream.usage")]
    [InlineData("llama.cpp/chat.stream.maxtokens")]
    [InlineData("ollama/v1.chat.stream")]
    [InlineData("ollama/v1.chat.stream.usage")]
    [InlineData("ollama/v1.chat.think.stream")]
    [InlineData("ollama/v1.chat.tool.stream")]
    public void OpenAi_stream_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var frames = Encoding.UTF8.GetString(bytes).Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal))
            .Select(line => JsonNode.Parse(line[6..])!).ToList();

        var events = Wire.Read(OpenAi, out var whole, bytes);

        Assert.True(whole);
        var said = WholeAnswer.Of(events);
        var started = Assert.IsType<ChatEvent.Started>(events[0]);
        Assert.Equal(frames[0]["id"]!.GetValue<string>(), started.Id);
        Assert.Equal(frames[0]["model"]!.GetValue<string>(), started.Model);
        Assert.Equal(frames[0]["created"]!.GetValue<long>(), started.Created);
        Assert.Equal(frames[0]["system_fingerprint"]?.ToJsonString(), started.Opaque.Member("system_fingerprint"u8)?.GetRawText());
        Assert.IsType<ChatEvent.RoleGiven>(events[1]);
        Assert.Equal(Joined(frames, "content"), said.Choices[0].Answer);
        Assert.Equal(Joined(frames, "reasoning"), said.Choices[0].Reasoning);
        Assert.Equal(frames.SelectMany(Calls).Select(call => call["function"]!["arguments"]!.GetValue<string>()),
            said.Choices[0].ToolCalls.Select(call => call.Arguments));
        Assert.Equal(frames.SelectMany(Calls).Select(call => call["id"]!.GetValue<string>()), said.Choices[0].ToolCalls.Select(call => call.Id!));
        var usage = frames.Select(frame => frame["usage"]).LastOrDefault(found => found is not null);
        Assert.Equal((int?)usage?["prompt_tokens"], said.Usage?.InputTokens);
        Assert.Equal((int?)usage?["completion_tokens"], said.Usage?.OutputTokens);
        Assert.Equal((int?)usage?["prompt_tokens_details"]?["cached_tokens"], said.Usage?.CachedInputTokens);
        var finish = frames.Select(frame => frame["choices"] is JsonArray { Count: > 0 } choices ? (string?)choices[0]!["finish_reason"] : null)
            .Last(found => found is not null);
        Assert.Equal(finish switch { "tool_calls" => FinishReason.ToolCalls, "length" => FinishReason.Length, _ => FinishReason.Stop },
            Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
    }

    [Theory]
    [InlineData("llama.cpp/chat.once")]
    [InlineData("llama.cpp/chat.json_schema")]
    [InlineData("llama.cpp/chat.logprobs")]
    [InlineData("ollama/v1.chat.once")]
    [InlineData("ollama/v1.chat.think.once")]
    [InlineData("ollama/v1.chat.two_tools.once")]
    [InlineData("ollama/v1.chat.length")]
    public void OpenAi_answer_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var answer = JsonNode.Parse(bytes)!;
        var message = answer["choices"]![0]!["message"]!;
        var events = new List<ChatEvent>();

        Assert.True(OpenAi.IsWholeAnswer(bytes));
        Assert.True(OpenAi.TryReadWhole(bytes, events));

        var said = WholeAnswer.Of(events);
        var choice = Assert.Single(said.Choices);
        Assert.Equal((string?)answer["id"], said.Id);
        Assert.Equal((string?)message["content"] ?? "", choice.Answer);
        Assert.Equal((string?)message["reasoning"] ?? "", choice.Reasoning);
        Assert.Equal((int)answer["usage"]!["prompt_tokens"]!, said.Usage!.InputTokens);
        Assert.Equal((int)answer["usage"]!["completion_tokens"]!, said.Usage.OutputTokens);
        Assert.Equal(said.Usage.OutputTokens, OpenAi.FindUsage(bytes)!.OutputTokens);
        Assert.Equal((message["tool_calls"] as JsonArray ?? [])
            .Select(call => (string?)call!["id"] + (string?)call["function"]!["name"] + (string?)call["function"]!["arguments"]),
            choice.ToolCalls.Select(call => call.Id + call.Name + call.Arguments));
        if (answer["choices"]![0]!["logprobs"] is { } probabilities)
            Assert.True(JsonNode.DeepEquals(probabilities, JsonNode.Parse(Assert.Single(choice.LogProbabilities).GetRawText())));
        if (answer["timings"] is { } timings) Assert.Equal((long)((double)timings["prompt_ms"]! * 1_000_000), said.Usage.PromptEvalDuration);
    }

    [Theory]
    [InlineData("chat.stream")]
    [InlineData("chat.think.stream")]
    [InlineData("chat.think_unset.stream")]
    [InlineData("chat.tool.stream")]
    [InlineData("chat.two_tools.stream")]
    [InlineData("chat.length")]
    [InlineData("chat.once")]
    [InlineData("chat.think_true")]
    [InlineData("chat.tool.once")]
    [InlineData("chat.two_tools.once")]
    [InlineData("chat.format_schema")]
    [InlineData("chat.load")]
    [InlineData("chat.unload")]
    public void Ollama_answer_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording("ollama/" + recording);
        var frames = Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();
        var last = frames[^1];

        var events = Wire.Read(Ollama, out var whole, bytes);

        Assert.True(whole);
        var said = WholeAnswer.Of(events);
        var started = Assert.IsType<ChatEvent.Started>(events[0]);
        Assert.Equal((string?)frames[0]["model"], started.Model);
        Assert.Equal(DateTimeOffset.Parse((string)frames[0]["created_at"]!, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeSeconds(),
            started.Created);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["message"]!["content"])), said.Choices[0].Answer);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["message"]!["thinking"])), said.Choices[0].Reasoning);
        var calls = frames.SelectMany(frame => frame["message"]!["tool_calls"] as JsonArray ?? []).ToList();
        Assert.Equal(calls.Select(call => (string?)call!["id"] + (string?)call["function"]!["name"]),
            said.Choices[0].ToolCalls.Select(call => call.Id + call.Name));
        Assert.Equal(calls.Select(call => call!["function"]!["arguments"]!.ToJsonString()),
            said.Choices[0].ToolCalls.Select(call => JsonNode.Parse(call.Arguments)!.ToJsonString()));
        Assert.Equal((int?)last["prompt_eval_count"], said.Usage?.InputTokens);
        Assert.Equal((int?)last["eval_count"], said.Usage?.OutputTokens);
        Assert.Equal((long?)last["total_duration"], said.Usage?.TotalDuration);
        Assert.Equal((long?)last["load_duration"], said.Usage?.LoadDuration);
        Assert.Equal((long?)last["prompt_eval_duration"], said.Usage?.PromptEvalDuration);
        Assert.Equal((long?)last["eval_duration"], said.Usage?.EvalDuration);
        Assert.Equal(said.Usage, Ollama.FindUsage(Wire.Bytes(last.ToJsonString())));
        var finished = Assert.IsType<ChatEvent.Finished>(events[^1]);
        Assert.Equal(calls.Count > 0 ? FinishReason.ToolCalls : (string?)last["done_reason"] == "length" ? FinishReason.Length : FinishReason.Stop,
            finished.Reason);
        Assert.Equal((string?)last["done_reason"] is "stop" or "length" ? null : (string?)last["done_reason"],
            finished.Opaque.Member("done_reason"u8)?.GetString());
    }

    [Theory]
    [InlineData("chat.once")]
    [InlineData("chat.think_true")]
    [InlineData("chat.tool.once")]
    [InlineData("chat.two_tools.once")]
    [InlineData("chat.load")]
    [InlineData("chat.unload")]
    public void Ollama_answer_Is_written_with_the_real_servers_members_in_its_order(string recording)
    {
        var bytes = Wire.Recording("ollama/" + recording);
        var answer = JsonNode.Parse(bytes)!;
        var events = new List<ChatEvent>();
        Assert.True(Ollama.TryReadWhole(bytes, events));

        var stamp = new ReplyStamp("T", DateTimeOffset.Parse((string)answer["created_at"]!, System.Globalization.CultureInfo.InvariantCulture),
            (string)answer["model"]!);
        var written = JsonNode.Parse(Wire.Text(output => DialectTable.Client(DialectName.OllamaChat)!.WriteWhole(events, stamp, output)))!;

        answer["created_at"] = written["created_at"]!.DeepClone(); // Ollama's time has nanoseconds
        Assert.Equal(answer.ToJsonString(), written.ToJsonString());
    }

    [Theory]
    [InlineData("chat.stream")]
    [InlineData("chat.think.stream")]
    [InlineData("chat.two_tools.stream")]
    [InlineData("chat.length")]
    public void Ollama_stream_Is_written_with_the_real_servers_lines(string recording)
    {
        var bytes = Wire.Recording("ollama/" + recording);
        var lines = Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();
        var events = Wire.Read(Ollama, out _, bytes);

        var written = Wire.Write(DialectTable.Client(DialectName.OllamaChat)!, events,
            new ReplyStamp("T", DateTimeOffset.UnixEpoch, (string)lines[0]["model"]!))
            .Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();

        foreach (var line in lines.Concat(written)) line["created_at"] = "";
        Assert.Equal(lines.Select(line => line.ToJsonString()), written.Select(line => line.ToJsonString()));
    }

    [Theory]
    [InlineData("ollama/chat.engine_dies.stream", DialectName.OllamaChat)]
    [InlineData("ollama/v1.chat.engine_dies", DialectName.OpenAiChat)]
    public void Stream_that_ends_in_silence_Broke_off(string recording, object dialect)
    {
        var backend = DialectTable.Backend((DialectName)dialect)!;

        var events = Wire.Read(backend, out var whole, Wire.Recording(recording));

        Assert.False(whole);
        Assert.Equal("half ", WholeAnswer.Of(events).Choices[0].Answer);
        Assert.DoesNotContain(events, happened => happened is ChatEvent.Finished);
    }

    [Fact]
    public void Whole_answer_that_says_it_is_not_done_Is_none()
    {
        var body = Wire.Recording("ollama/chat.engine_dies.once");
        var events = new List<ChatEvent>();

        Assert.False(Ollama.IsWholeAnswer(body));
        Assert.False(Ollama.TryReadWhole(body, events));
        Assert.Empty(events);
    }

    [Theory]
    [InlineData("ollama/chat.unknown_model", "model 'nope' not found", null, null)]
    [InlineData("ollama/chat.engine_error", "the engine broke", "server_error", 500)]
    [InlineData("ollama/v1.chat.engine_error", "the engine broke", "server_error", 500)]
    [InlineData("ollama/v1.chat.unknown", "model 'nope' not found", "not_found_error", null)]
    [InlineData("ollama/chat.think_unsupported", "\"tiny\" does not support thinking", null, null)]
    [InlineData("llama.cpp/chat.no_messages", "'messages' is required", "server_error", 500)]
    [InlineData("llama.cpp/notfound", "File Not Found", "not_found_error", 404)]
    public void Error_of_a_real_host_Is_said_in_its_own_words(string recording, string message, string? type, int? status)
    {
        var said = (recording.StartsWith("ollama/chat", StringComparison.Ordinal) ? Ollama : OpenAi).ReadError(Wire.Recording(recording));

        Assert.Equal(message, said.Message);
        Assert.Equal(type, said.Type);
        Assert.Equal(status, said.Status);
        Assert.Null(said.Code);
    }

    [Theory]
    [InlineData("ollama/chat.unknown_model")]
    [InlineData("ollama/chat.engine_error")]
    [InlineData("llama.cpp/chat.bad_json")]
    public void Error_body_Is_no_answer(string recording)
    {
        var body = Wire.Recording(recording);

        Assert.False(Ollama.IsWholeAnswer(body));
        Assert.False(OpenAi.IsWholeAnswer(body));
        Assert.Equal(FrameKind.Error, Ollama.Classify(body));
        Assert.Equal(FrameKind.Error, OpenAi.Classify(body));
        Assert.False(OpenAi.TryReadWhole(body, []));
        Assert.False(Ollama.TryReadWhole(body, []));
    }

    [Fact]
    public void First_frame_of_llama_cpp_Says_nothing_yet()
    {
        var frames = Encoding.UTF8.GetString(Wire.Recording("llama.cpp/chat.stream")).Split('\n')
            .Where(line => line.StartsWith("data: ", StringComparison.Ordinal)).Select(line => Wire.Bytes(line[6..])).ToList();

        Assert.Equal(FrameKind.Preamble, OpenAi.Classify(frames[0]));
        Assert.Equal(FrameKind.Content, OpenAi.Classify(frames[1]));
        Assert.Equal(FrameKind.Content, OpenAi.Classify(frames[^2]));
        Assert.Equal(FrameKind.End, OpenAi.Classify(frames[^1]));
    }

    [Fact]
    public void Completions_Are_understood_as_far_as_a_relay_needs()
    {
        var completions = DialectTable.Backend(DialectName.OpenAiCompletions)!;
        var frames = Encoding.UTF8.GetString(Wire.Recording("llama.cpp/completions.stream")).Split('\n')
            .Where(line => line.StartsWith("data: ", StringComparison.Ordinal)).Select(line => Wire.Bytes(line[6..])).ToList();

        Assert.Equal(FrameKind.Content, completions.Classify(frames[0]));
        Assert.Equal(FrameKind.Preamble, completions.Classify(frames[4])); // an empty text
        Assert.Equal(new Usage(2, 5) { CachedInputTokens = 0 }, completions.FindUsage(frames[^2]));
        Assert.True(completions.IsEnd(frames[^1]));
        Assert.True(completions.IsWholeAnswer(Wire.Recording("llama.cpp/completions.once")));
    }

    [Theory]
    [InlineData("llama.cpp/completions.stream")]
    [InlineData("ollama/v1.completions.stream")]
    public void Completion_stream_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var frames = Encoding.UTF8.GetString(bytes).Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal))
            .Select(line => JsonNode.Parse(line[6..])!).ToList();

        var events = Wire.Read(Completions, out var whole, bytes);

        Assert.True(whole);
        var said = WholeAnswer.Of(events);
        Assert.Equal((string?)frames[0]["id"], Assert.IsType<ChatEvent.Started>(events[0]).Id);
        Assert.IsType<ChatEvent.RoleGiven>(events[1]);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["choices"]![0]!["text"])), said.Choices[0].Answer);
        Assert.Equal((int?)frames[^1]["usage"]?["completion_tokens"], said.Usage?.OutputTokens);
        Assert.Equal(FinishReason.Stop, Assert.IsType<ChatEvent.Finished>(events[^1]).Reason);
    }

    [Theory]
    [InlineData("llama.cpp/completions.once")]
    [InlineData("ollama/v1.completions")]
    public void Completion_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording(recording);
        var answer = JsonNode.Parse(bytes)!;
        var events = new List<ChatEvent>();

        Assert.True(Completions.IsWholeAnswer(bytes));
        Assert.True(Completions.TryReadWhole(bytes, events));

        var said = WholeAnswer.Of(events);
        Assert.Equal((string?)answer["choices"]![0]!["text"], Assert.Single(said.Choices).Answer);
        Assert.Equal((string?)answer["id"], said.Id);
        Assert.Equal((int)answer["usage"]!["completion_tokens"]!, said.Usage!.OutputTokens);
        if (answer["timings"] is { } timings) Assert.Equal((long)((double)timings["predicted_ms"]! * 1_000_000), said.Usage.EvalDuration);
    }

    [Theory]
    [InlineData("stream")]
    [InlineData("once")]
    [InlineData("raw")]
    [InlineData("system")]
    [InlineData("think")]
    [InlineData("format")]
    [InlineData("context")]
    [InlineData("load")]
    [InlineData("unload")]
    public void Ollama_generate_Is_read_without_loss(string recording)
    {
        var bytes = Wire.Recording("ollama/generate." + recording);
        var frames = Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();
        var last = frames[^1];

        var events = Wire.Read(Generate, out var whole, bytes);

        Assert.True(whole);
        var said = WholeAnswer.Of(events);
        Assert.Equal((string?)frames[0]["model"], Assert.IsType<ChatEvent.Started>(events[0]).Model);
        Assert.Equal(string.Concat(frames.Select(frame => (string?)frame["response"])), said.Choices[0].Answer);
        Assert.Equal((int?)last["eval_count"], said.Usage?.OutputTokens);
        Assert.Equal((long?)last["eval_duration"], said.Usage?.EvalDuration);
        Assert.Equal(said.Usage, Generate.FindUsage(Wire.Bytes(last.ToJsonString())));
        Assert.Equal((string?)last["done_reason"] is "stop" ? null : (string?)last["done_reason"],
            Assert.IsType<ChatEvent.Finished>(events[^1]).Opaque.Member("done_reason"u8)?.GetString());
        Assert.Equal(FrameKind.End, Generate.Classify(Wire.Bytes(last.ToJsonString())));
        if (frames.Count > 1) Assert.Equal(FrameKind.Content, Generate.Classify(Wire.Bytes(frames[0].ToJsonString())));
    }

    [Theory]
    [InlineData("once")]
    [InlineData("system")]
    [InlineData("format")]
    [InlineData("load")]
    [InlineData("unload")]
    [InlineData("stream")]
    public void Ollama_generate_Is_written_with_the_real_servers_members_in_its_order(string recording)
    {
        var bytes = Wire.Recording("ollama/generate." + recording);
        var lines = Encoding.UTF8.GetString(bytes).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();
        var events = Wire.Read(Generate, out _, bytes);
        var (client, stamp) = (DialectTable.Client(DialectName.OllamaGenerate)!, new ReplyStamp("T", DateTimeOffset.UnixEpoch, (string)lines[0]["model"]!));

        var written = (lines.Count > 1 ? Wire.Write(client, events, stamp) : Wire.Text(output => client.WriteWhole(events, stamp, output)))
            .Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();

        foreach (var line in lines.Concat(written)) line["created_at"] = "";
        if (lines[^1]["context"] is not null) lines[^1]["context"] = new JsonArray();
        Assert.Equal(lines.Select(line => line.ToJsonString()), written.Select(line => line.ToJsonString()));
    }

    [Theory]
    [InlineData("unknown", "model 'nope' not found")]
    [InlineData("suffix_unsupported", "registry.ollama.ai/library/tiny:latest does not support insert")]
    [InlineData("raw_with_system", "raw mode does not support template, system, or context")]
    public void Refusal_of_generate_Is_said_in_the_hosts_words(string recording, string message)
    {
        var body = Wire.Recording("ollama/generate." + recording);

        Assert.Equal(message, Generate.ReadError(body).Message);
        Assert.False(Generate.IsWholeAnswer(body));
        Assert.False(Generate.TryReadWhole(body, []));
        Assert.Equal(FrameKind.Error, Generate.Classify(body));
        Assert.Equal(Encoding.UTF8.GetString(body).Trim(),
            Wire.Text(output => DialectTable.Client(DialectName.OllamaGenerate)!.WriteError(new ProxyError(ProxyErrorKind.HostRefused, message), "T", output)));
    }

    private static string Joined(List<JsonNode> frames, string member) =>
        string.Concat(frames.Select(frame => frame["choices"] is JsonArray { Count: > 0 } choices ? (string?)choices[0]!["delta"]![member] : null));

    private static IEnumerable<JsonNode> Calls(JsonNode frame) =>
        frame["choices"] is JsonArray { Count: > 0 } choices && choices[0]!["delta"]!["tool_calls"] is JsonArray calls ? calls.Select(call => call!) : [];
}
