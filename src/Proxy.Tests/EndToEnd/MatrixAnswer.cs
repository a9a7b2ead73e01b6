using System.Text.Json;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// An answer as a client's user sees it, read from any dialect's wire format by a reader that shares no code with the proxy, as a second opinion.
/// </summary>
/// <param name="Calls">Id, name and arguments of each tool call; the arguments without white space.</param>
/// <param name="Reason">The finish reason, with OpenAI's names.</param>
/// <param name="Usage">Tokens in and out, or null if there are no counts.</param>
internal sealed record MatrixAnswer(string Text, string Reasoning, string Calls, string? Reason, string? Usage, string? Error)
{
    /// <summary>The answer in a transcript's events.</summary>
    public static MatrixAnswer OfEvents(string lines)
    {
        var seen = new Seen();
        foreach (var happened in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!))
        {
            switch ((string?)happened["type"])
            {
                case "token" when (string?)happened["kind"] == "reasoning":
                    seen.Reasoning += (string?)happened["text"];
                    break;
                case "token":
                    seen.Text += (string?)happened["text"];
                    break;
                case "tool_call":
                    seen.Call((int?)happened["index"] ?? 0, (string?)happened["id"], (string?)happened["name"], (string?)happened["arguments"]);
                    break;
                case "usage":
                    seen.Count(happened["input_tokens"], happened["output_tokens"]);
                    break;
                case "finished":
                    seen.Reason = (string?)happened["reason"] is { } reason ? reason == "stop" && seen.HasCalls ? "tool_calls" : reason : null;
                    seen.Error = (string?)happened["error"]?["message"];
                    break;
            }
        }

        return seen.Answer();
    }

    /// <summary>The answer that a dialect's client reads; a stream must have its dialect's end.</summary>
    public static MatrixAnswer Of(string client, bool stream, RawReply reply)
    {
        var seen = new Seen();
        var documents = !stream
            ? [JsonNode.Parse(reply.Text)!] : client is "ollama" or "generate" ? [.. reply.JsonLines.Select(line => JsonNode.Parse(line.GetRawText())!)]
            : reply.Events.Where(data => data != "[DONE]").Select(data => JsonNode.Parse(data)!).ToList();
        foreach (var document in documents)
        {
            switch (client)
            {
                case "openai" or "completions":
                    Chunk(seen, document);
                    break;
                case "ollama" or "generate":
                    Line(seen, document);
                    break;
                case "anthropic":
                    Message(seen, document);
                    break;
                case "responses":
                    Response(seen, document, stream);
                    break;
            }
        }

        if (stream && seen.Error is null)
        {
            Assert.True(
                client switch
                {
                    "openai" or "completions" => reply.Events[^1] == "[DONE]",
                    "ollama" or "generate" => (bool?)documents[^1]["done"] is true,
                    "anthropic" => (string?)documents[^1]["type"] == "message_stop",
                    _ => (string?)documents[^1]["type"] is "response.completed" or "response.incomplete",
                }, $"the stream has no end: {reply.Text}");
        }

        return seen.Answer();
    }

    private static void Chunk(Seen seen, JsonNode chunk)
    {
        seen.Error ??= (string?)chunk["error"]?["message"];
        seen.Count(chunk["usage"]?["prompt_tokens"], chunk["usage"]?["completion_tokens"]);
        if (chunk["choices"] is not JsonArray { Count: > 0 } choices) return;
        var said = choices[0]!["delta"] ?? choices[0]!["message"];
        seen.Text += (string?)(said is null ? choices[0]!["text"] : said["content"]);
        Assert.Equal((string?)said?["reasoning"], (string?)said?["reasoning_content"]); // both names, or none
        seen.Reasoning += (string?)said?["reasoning"];
        var index = 0;
        foreach (var call in said?["tool_calls"]?.AsArray() ?? [])
        {
            seen.Call((int?)call!["index"] ?? index++, (string?)call["id"], (string?)call["function"]?["name"], (string?)call["function"]?["arguments"]);
        }

        seen.Reason = (string?)choices[0]!["finish_reason"] ?? seen.Reason;
    }

    private static void Line(Seen seen, JsonNode line)
    {
        seen.Error ??= (string?)line["error"];
        seen.Count(line["prompt_eval_count"], line["eval_count"]);
        seen.Text += (string?)(line["response"] ?? line["message"]?["content"]);
        seen.Reasoning += (string?)(line["thinking"] ?? line["message"]?["thinking"]);
        var index = 0;
        foreach (var call in line["message"]?["tool_calls"]?.AsArray() ?? [])
        {
            Assert.Equal(index, (int?)call!["function"]!["index"]);
            seen.Call(index++, (string?)call["id"], (string?)call["function"]!["name"], call["function"]!["arguments"]!.AsObject().ToJsonString());
        }

        seen.Reason = (string?)line["done_reason"] is { } reason ? reason == "stop" && seen.HasCalls ? "tool_calls" : reason : seen.Reason;
    }

    private static void Message(Seen seen, JsonNode data)
    {
        var type = (string?)data["type"];
        if (type == "error") seen.Error = (string?)data["error"]!["message"];
        foreach (var holder in new[] { data["message"], data })
            seen.Count(holder?["usage"]?["input_tokens"] is { } input ? (int)input + ((int?)holder["usage"]!["cache_read_input_tokens"] ?? 0) : null,
                holder?["usage"]?["output_tokens"]);
        if ((string?)(data["stop_reason"] ?? data["delta"]?["stop_reason"]) is { } reason)
        {
            seen.Reason = reason switch { "end_turn" => "stop", "max_tokens" => "length", "tool_use" => "tool_calls", _ => reason };
        }

        JsonNode?[] blocks = type == "content_block_start" ? [data["content_block"]] : [.. data["content"]?.AsArray() ?? []];
        foreach (var block in blocks)
        {
            seen.Text += (string?)block!["text"];
            seen.Reasoning += (string?)block["thinking"];
            if ((string?)block["type"] == "tool_use")
            {
                seen.Call(seen.NextCall(), (string?)block["id"], (string?)block["name"],
                    type == "content_block_start" ? "" : block["input"]!.AsObject().ToJsonString());
            }
        }

        if (type != "content_block_delta") return;
        seen.Text += (string?)data["delta"]!["text"];
        seen.Reasoning += (string?)data["delta"]!["thinking"];
        if (data["delta"]!["partial_json"] is { } json) seen.Call(seen.NextCall() - 1, null, null, (string?)json);
    }

    /// <summary>The last event repeats everything, and must equal what was streamed.</summary>
    private static void Response(Seen seen, JsonNode data, bool stream)
    {
        switch ((string?)data["type"])
        {
            case "response.output_text.delta":
                seen.Text += (string?)data["delta"];
                return;
            case "response.reasoning_text.delta":
                seen.Reasoning += (string?)data["delta"];
                return;
            case "response.output_item.added" when (string?)data["item"]!["type"] == "function_call":
                seen.Call((int)data["output_index"]!, (string?)data["item"]!["call_id"], (string?)data["item"]!["name"], "");
                return;
            case "response.function_call_arguments.delta":
                seen.Call((int)data["output_index"]!, null, null, (string?)data["delta"]);
                return;
            case "error":
                seen.Error = (string?)data["message"];
                return;
        }

        var response = stream ? data["response"] : data;
        if (response is null || (string?)response["status"] == "in_progress") return;
        var whole = new Seen();
        var index = 0;
        foreach (var item in response["output"]?.AsArray() ?? [])
        {
            foreach (var part in item!["content"]?.AsArray() ?? [])
            {
                if ((string?)part!["type"] == "output_text") whole.Text += (string?)part["text"];
                else whole.Reasoning += (string?)part["text"];
            }

            if ((string?)item["type"] == "function_call") whole.Call(index, (string?)item["call_id"], (string?)item["name"], (string?)item["arguments"]);
            index++;
        }

        whole.Count(response["usage"]?["input_tokens"], response["usage"]?["output_tokens"]);
        whole.Reason = (string?)response["status"] == "completed"
            ? whole.HasCalls ? "tool_calls" : "stop" : (string?)response["incomplete_details"]?["reason"] == "max_output_tokens" ? "length" : "error";
        whole.Error = (string?)response["error"]?["message"];
        if (stream) Assert.Equal((seen.Text, seen.Reasoning, seen.Answer().Calls), (whole.Text, whole.Reasoning, whole.Answer().Calls));
        seen.Take(whole);
    }

    private sealed class Seen
    {
        private readonly SortedDictionary<int, (string? Id, string? Name, string Arguments)> calls = [];
        private string? usage;

        public string Text { get; set; } = "";

        public string Reasoning { get; set; } = "";

        public string? Reason { get; set; }

        public string? Error { get; set; }

        public bool HasCalls => calls.Count > 0;

        public int NextCall() => calls.Count;

        public void Call(int index, string? id, string? name, string? arguments)
        {
            var known = calls.GetValueOrDefault(index, (null, null, ""));
            calls[index] = (id ?? known.Id, name ?? known.Name, known.Item3 + arguments);
        }

        public void Count(JsonNode? input, JsonNode? output)
        {
            if (input is not null && output is not null) usage = (int)input == 0 && (int)output == 0 ? usage : $"{input} {output}";
        }

        public void Take(Seen whole)
        {
            (Text, Reasoning, Reason, Error, usage) = (whole.Text, whole.Reasoning, whole.Reason, whole.Error, whole.usage);
            calls.Clear();
            foreach (var (index, call) in whole.calls) calls[index] = call;
        }

        public MatrixAnswer Answer() => new(Text, Reasoning, string.Join('\n', calls.Values.Select(call => $"{call.Id} {call.Name} {Compact(call.Arguments)}")),
            Error is null ? Reason : "error", usage, Error);

        private static string Compact(string arguments)
        {
            try
            {
                return arguments.Length == 0 ? "{}" : JsonNode.Parse(arguments)?.ToJsonString() ?? "";
            }
            catch (JsonException)
            {
                return arguments;
            }
        }
    }
}
