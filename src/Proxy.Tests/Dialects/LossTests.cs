using System.Reflection;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>Every loss between dialects is documented in docs/dialects.md, and every documented loss is real.</summary>
public sealed partial class LossTests
{
    private sealed record Row(string Field, string From, string To, string What, string Test);

    private const string OpenAiWithEverything =
        """
        {"model":"m","n":2,"user":"u","parallel_tool_calls":false,"tool_choice":"required","logit_bias":{"5":1},"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
         "response_format":{"type":"grammar","grammar":"x"},
         "messages":[
          {"role":"user","name":"ann","audio":{"id":"a"},"content":[{"type":"text","text":"x","cache_control":{}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low","min_pixels":4}}]},
          {"role":"assistant","content":null,"reasoning_content":"t","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{broken"}},{"id":"d","type":"custom","custom":{}}]},
          {"role":"tool","tool_call_id":"c","content":"1"}],
         "seed":1,"min_p":0.1,"frequency_penalty":0.1,"presence_penalty":0.1,"repeat_penalty":1.1,"reasoning_effort":"high",
         "tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"web_search"},{"type":"function","cache_control":{},"function":{"name":"g","examples":[]}}]}
        """;

    private const string OllamaWithEverything =
        """
        {"model":"m","keep_alive":"5m","truncate":true,"think":true,"format":"xml","messages":[{"role":"user","content":"x","weird":1}],"options":{"num_ctx":4096,"mirostat":2,"seed":1,"min_p":0.1,"frequency_penalty":0.1,"presence_penalty":0.1,"repeat_penalty":1.1}}
        """;

    private const string AnthropicWithEverything =
        """
        {"model":"m","max_tokens":100,"top_k":5,"stop_sequences":["x"],"container":"c","metadata":{"user_id":"u","x":1},"thinking":{"type":"enabled","budget_tokens":5000},"output_config":{"format":{"type":"grammar"},"new":1},
         "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
         "messages":[
          {"role":"user","weird":1,"content":"x"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"},{"type":"tool_use","id":"a","name":"f","input":{},"caller":{"type":"code_execution_20250825","tool_id":"srvtoolu_1"}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true,"toolset_name":"x","content":"bad"}]}],
         "tools":[{"name":"f","input_schema":{"type":"object"},"strict":true,"defer_loading":true},{"type":"web_search_20250305","name":"web_search"}],
         "tool_choice":{"type":"any","disable_parallel_tool_use":true}}
        """;

    private const string ResponsesWithEverything =
        """
        {"model":"m","user":"u","parallel_tool_calls":false,"tool_choice":{"type":"web_search"},"truncation":"auto","text":{"verbosity":"low","format":{"type":"grammar"}},"service_tier":"flex","client_metadata":{},
         "input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}]},
          {"type":"function_call","call_id":"c","name":"f","arguments":"{broken"},{"type":"web_search_call","id":"w","status":"completed"}],
         "tools":[{"type":"function","name":"f","strict":true,"defer_loading":true},{"type":"custom","name":"apply_patch","format":{"type":"text"}},{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"g"}]},{"type":"web_search"}]}
        """;

    private const string CompletionsWithEverything =
        """
        {"model":"m","prompt":"x","n":2,"best_of":3,"user":"u","logit_bias":{"5":1},"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}
        """;

    private const string GenerateWithEverything =
        """
        {"model":"m","prompt":"x","keep_alive":"5m","truncate":true,"think":true,"format":"xml","options":{"num_ctx":4096,"mirostat":2}}
        """;

    [Theory]
    [InlineData("responses", DialectName.OpenAiResponses, "openai", DialectName.OpenAiChat, ResponsesWithEverything)]
    [InlineData("responses", DialectName.OpenAiResponses, "ollama", DialectName.OllamaChat, ResponsesWithEverything)]
    [InlineData("openai", DialectName.OpenAiChat, "responses", DialectName.OpenAiResponses, OpenAiWithEverything)]
    [InlineData("ollama", DialectName.OllamaChat, "responses", DialectName.OpenAiResponses, OllamaWithEverything)]
    [InlineData("openai", DialectName.OpenAiChat, "ollama", DialectName.OllamaChat, OpenAiWithEverything)]
    [InlineData("ollama", DialectName.OllamaChat, "openai", DialectName.OpenAiChat, OllamaWithEverything)]
    [InlineData("openai", DialectName.OpenAiChat, "anthropic", DialectName.Anthropic, OpenAiWithEverything)]
    [InlineData("ollama", DialectName.OllamaChat, "anthropic", DialectName.Anthropic, OllamaWithEverything)]
    [InlineData("anthropic", DialectName.Anthropic, "openai", DialectName.OpenAiChat, AnthropicWithEverything)]
    [InlineData("anthropic", DialectName.Anthropic, "ollama", DialectName.OllamaChat, AnthropicWithEverything)]
    [InlineData("anthropic", DialectName.Anthropic, "responses", DialectName.OpenAiResponses, AnthropicWithEverything)]
    [InlineData("completions", DialectName.OpenAiCompletions, "generate", DialectName.OllamaGenerate, CompletionsWithEverything)]
    [InlineData("generate", DialectName.OllamaGenerate, "openai", DialectName.OpenAiChat, GenerateWithEverything)]
    [InlineData("generate", DialectName.OllamaGenerate, "completions", DialectName.OpenAiCompletions, GenerateWithEverything)]
    public void Every_loss_of_a_request_Has_a_row(string from, object source, string to, object target, string body)
    {
        var request = RequestTests.Read((DialectName)source, body);

        var written = RequestTests.Write((DialectName)target, request, out var lost);

        Assert.NotNull(JsonNode.Parse(written));
        var rows = Rows().Where(row => row.From == from && row.To == to).ToList();
        var named = rows.Where(row => row.What.StartsWith("lost", StringComparison.Ordinal) || row.Test == nameof(Every_loss_of_a_request_Has_a_row))
            .SelectMany(row => InCode().Matches(row.Field).Take(1).Select(match => match.Groups[1].Value)).ToList();
        Assert.Equal(named.Order(StringComparer.Ordinal), lost.Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_row_Names_a_test_that_exists()
    {
        var tests = Assembly.GetExecutingAssembly().GetTypes()
            .SelectMany(type => type.GetMethods(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(method => method.GetCustomAttribute<FactAttribute>() is not null).Select(method => method.Name).ToHashSet();

        var rows = Rows();

        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Contains(row.Test, tests));
    }

    [Fact]
    public void Parts_Are_one_text_and_its_images_to_Ollama()
    {
        var request = RequestTests.Read(DialectName.OpenAiChat,
            """
            {"model":"m","messages":[
              {"role":"developer","content":"be brief"},
              {"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,AAAA"},{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,BBBB"}},{"type":"text","text":"b"}]},
              {"role":"assistant","content":null,"refusal":"no"},
              {"role":"function","name":"f","content":"1"}]}
            """);

        var messages = JsonNode.Parse(RequestTests.Write(DialectName.OllamaChat, request, out var lost))!["messages"]!;

        Assert.Equal("""[{"role":"system","content":"be brief"},{"role":"user","content":"a\nb","images":["AAAA","BBBB"]},{"role":"assistant","content":"no"},{"role":"tool","content":"1","tool_name":"f"}]""", messages.ToJsonString());
        Assert.Empty(lost);
    }

    [Fact]
    public void Without_a_limit_Is_without_a_member()
    {
        var request = RequestTests.Read(DialectName.OllamaChat, """{"model":"m","messages":[],"options":{"num_predict":-1}}""");

        var written = JsonNode.Parse(RequestTests.Write(DialectName.OpenAiChat, request, out var lost))!.AsObject();

        Assert.False(written.ContainsKey("max_tokens"));
        Assert.Empty(lost);
    }

    [Fact]
    public void Broken_arguments_Reach_an_Ollama_client()
    {
        List<ChatEvent> events = [new ChatEvent.ToolCall(0, "a", "f", "{\"city\":"), new ChatEvent.ToolCall(1, "b", "g", null),
            new ChatEvent.ToolCall(2, "c", "h", "{\n \"x\":\n 1}\n"), new ChatEvent.Finished(FinishReason.ToolCalls)];

        var line = Wire.Write(DialectTable.Client(DialectName.OllamaChat)!, events, Wire.Stamp);

        Assert.Equal(1, line.Count(c => c == '\n'));
        var calls = JsonNode.Parse(line)!["message"]!["tool_calls"]!.AsArray();
        Assert.Equal(["""{"_raw":"{\"city\":"}""", "{}", """{"x":1}"""], calls.Select(call => Compact(call!["function"]!["arguments"]!)));

        static string Compact(JsonNode node) => node.ToJsonString(new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
    }

    [Fact]
    public void Answer_of_Ollama_Has_no_durations_for_OpenAi()
    {
        foreach (var recording in new[] { "ollama/chat.once", "ollama/chat.unload" })
        {
            var events = new List<ChatEvent>();
            Assert.True(DialectTable.Backend(DialectName.OllamaChat)!.TryReadWhole(Wire.Recording(recording), events));

            var written = Wire.Text(output => DialectTable.Client(DialectName.OpenAiChat)!.WriteWhole(events, Wire.Stamp, output));

            Assert.DoesNotContain("duration", written, StringComparison.Ordinal);
            Assert.Equal("stop", (string)JsonNode.Parse(written)!["choices"]![0]!["finish_reason"]!);
        }
    }

    [Fact]
    public void Log_probabilities_of_Ollama_Get_what_OpenAi_demands()
    {
        var body = """{"model":"m","created_at":"2026-11-23T06:33:23Z","message":{"role":"assistant","content":"é"},"logprobs":[{"token":"é","logprob":-0.50},{"token":"","logprob":-1,"top_logprobs":[{"token":"x","logprob":-2}]}],"done":true,"done_reason":"stop"}""";
        var events = new List<ChatEvent>();
        Assert.True(DialectTable.Backend(DialectName.OllamaChat)!.TryReadWhole(Wire.Bytes(body), events));

        var written = Wire.Text(output => DialectTable.Client(DialectName.OpenAiChat)!.WriteWhole(events, Wire.Stamp, output));

        Assert.Contains("""
            "logprobs":{"content":[{"token":"é","logprob":-0.50,"bytes":[195,169],"top_logprobs":[]},{"token":"","logprob":-1,"bytes":[],"top_logprobs":[{"token":"x","logprob":-2,"bytes":[120]}]}],"refusal":null}
            """.Trim(), written, StringComparison.Ordinal);
    }

    private static List<Row> Rows()
    {
        var rows = new List<Row>();
        foreach (var line in File.ReadLines(Path.Combine(Wire.Root, "docs", "dialects.md")))
        {
            var cells = line.Split('|', StringSplitOptions.TrimEntries);
            if (cells.Length != 7 || cells[5] is "test" || cells[5].StartsWith('-')) continue;
            rows.Add(new Row(cells[1], cells[2], cells[3], cells[4], cells[5].Trim('`')));
        }

        return rows;
    }

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex InCode();
}
