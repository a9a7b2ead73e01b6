using System.Text.Json.Nodes;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>One tool call. The id is null if the host gave none.</summary>
internal sealed record TrueCall(string? Id, string Name, string Arguments)
{
    public override string ToString() => $"{Id} {Name} {Arguments}";
}

/// <summary>
/// Writes events in a client's dialect and reads the calls back as the client's SDK does, by the SDK's own rules: a call must be announced together with its
/// name.
/// </summary>
internal static class ClientCalls
{
    private static readonly DialectName[] Streams = [DialectName.Anthropic, DialectName.OpenAiResponses, DialectName.OllamaChat, DialectName.OpenAiChat];

    /// <summary>Asserts that a client of each dialect gets these calls, streamed and whole, with the finish reason that makes it run them.</summary>
    public static void AssertEveryClientGets(IReadOnlyList<TrueCall> calls, IReadOnlyList<ChatEvent> events, string why)
    {
        foreach (var name in Streams)
        {
            var client = DialectTable.Client(name)!;
            var stream = Wire.Write(client, events, Wire.Stamp);
            AssertSame(calls, OfStream(name, stream), $"{why}\n{name}: {stream}");
            var whole = Wire.Text(output => client.WriteWhole(events, Wire.Stamp, output));
            AssertSame(calls, OfWhole(name, JsonNode.Parse(whole)!), $"{why}\n{name}: {whole}");
        }
    }

    /// <summary>Asserts that the calls are the same, each with its id if it has one. In a stream the order does not matter.</summary>
    public static void AssertSame(IReadOnlyList<TrueCall> expected, IReadOnlyList<TrueCall> read, string why)
    {
        Assert.True(expected.Count == read.Count, $"{why}\nexpected {string.Join("; ", expected)}\nread {string.Join("; ", read)}");
        Assert.True(read.Select(call => call.Id).Distinct().Count() == read.Count || read.All(call => call.Id is null), why);
        var left = read.ToList();
        foreach (var call in expected)
        {
            var same = left.FindIndex(other => other.Name == call.Name && (call.Id is null || other.Id == call.Id) && Same(other.Arguments, call.Arguments));
            Assert.True(same >= 0, $"{why}\nexpected {call}\nread {string.Join("; ", read)}");
            left.RemoveAt(same);
        }
    }

    /// <summary>Missing arguments equal an empty object in dialects that write objects.</summary>
    private static bool Same(string one, string other) =>
        one == other || JsonNode.DeepEquals(JsonNode.Parse(one.Length == 0 ? "{}" : one), JsonNode.Parse(other.Length == 0 ? "{}" : other));

    private static List<TrueCall> OfStream(DialectName name, string stream) => name switch
    {
        DialectName.Anthropic => OfAnthropic(Frames(stream)),
        DialectName.OpenAiResponses => OfResponses(Frames(stream)),
        DialectName.OllamaChat => OfWhole(name, JsonNode.Parse(stream.TrimEnd('\n').Split('\n')[^1])!),
        _ => OfChunks(Frames(stream)),
    };

    private static List<TrueCall> OfAnthropic(List<JsonNode> frames)
    {
        var calls = new List<TrueCall>();
        int? open = null;
        var isCall = false;
        foreach (var frame in frames)
        {
            switch ((string)frame["type"]!)
            {
                case "content_block_start":
                    Assert.Null(open);
                    open = (int)frame["index"]!;
                    isCall = (string)frame["content_block"]!["type"]! == "tool_use";
                    if (!isCall) break;
                    Assert.NotEqual("", (string)frame["content_block"]!["name"]!);
                    calls.Add(new((string)frame["content_block"]!["id"]!, (string)frame["content_block"]!["name"]!, ""));
                    break;
                case "content_block_delta":
                    Assert.Equal(open, (int)frame["index"]!);
                    if ((string?)frame["delta"]!["partial_json"] is not { } piece) break;
                    Assert.True(isCall);
                    calls[^1] = calls[^1] with { Arguments = calls[^1].Arguments + piece };
                    break;
                case "content_block_stop":
                    Assert.Equal(open, (int)frame["index"]!);
                    open = null;
                    break;
                case "message_delta":
                    Assert.Equal(calls.Count > 0 ? "tool_use" : "end_turn", (string)frame["delta"]!["stop_reason"]!);
                    break;
            }
        }

        return calls;
    }

    private static List<TrueCall> OfResponses(List<JsonNode> frames)
    {
        var pieces = new Dictionary<string, string>();
        foreach (var frame in frames)
        {
            switch ((string)frame["type"]!)
            {
                case "response.output_item.added" when (string)frame["item"]!["type"]! == "function_call":
                    Assert.NotEqual("", (string)frame["item"]!["name"]!);
                    pieces.Add((string)frame["item"]!["id"]!, "");
                    break;
                case "response.function_call_arguments.delta":
                    pieces[(string)frame["item_id"]!] += (string)frame["delta"]!;
                    break;
                case "response.output_item.done" when (string)frame["item"]!["type"]! == "function_call":
                    Assert.Equal(pieces[(string)frame["item"]!["id"]!], (string)frame["item"]!["arguments"]!);
                    break;
            }
        }

        var whole = OfWhole(DialectName.OpenAiResponses, frames[^1]["response"]!);
        Assert.Equal(pieces.Count, whole.Count);
        return whole;
    }

    private static List<TrueCall> OfChunks(List<JsonNode> frames)
    {
        var calls = new SortedDictionary<int, TrueCall>();
        foreach (var choice in frames.SelectMany(frame => frame["choices"]!.AsArray()).Where(choice => (int)choice!["index"]! == 0))
        {
            foreach (var piece in choice!["delta"]!["tool_calls"]?.AsArray() ?? [])
            {
                var index = (int)piece!["index"]!;
                if (!calls.TryGetValue(index, out var call))
                {
                    Assert.NotEqual("", (string)piece["function"]!["name"]!);
                    call = new((string)piece["id"]!, (string)piece["function"]!["name"]!, "");
                }

                calls[index] = call with { Arguments = call.Arguments + (string)piece["function"]!["arguments"]! };
            }

            if (choice["finish_reason"] is { } reason) Assert.Equal(calls.Count > 0 ? "tool_calls" : "stop", (string)reason!);
        }

        return [.. calls.Values];
    }

    private static List<TrueCall> OfWhole(DialectName name, JsonNode whole) => name switch
    {
        DialectName.Anthropic =>
            [.. whole["content"]!.AsArray().Where(block => (string)block!["type"]! == "tool_use")
                .Select(block => new TrueCall((string)block!["id"]!, (string)block["name"]!, block["input"]!.ToJsonString()))],
        DialectName.OpenAiResponses =>
            [.. whole["output"]!.AsArray().Where(item => (string)item!["type"]! == "function_call")
                .Select(item => new TrueCall((string)item!["call_id"]!, (string)item["name"]!, (string)item["arguments"]!))],
        DialectName.OllamaChat =>
            [.. (whole["message"]!["tool_calls"]?.AsArray() ?? [])
                .Select(call => new TrueCall((string)call!["id"]!, (string)call["function"]!["name"]!, call["function"]!["arguments"]!.ToJsonString()))],
        _ =>
            [.. (whole["choices"]![0]!["message"]!["tool_calls"]?.AsArray() ?? [])
                .Select(call => new TrueCall((string)call!["id"]!, (string)call["function"]!["name"]!, (string)call["function"]!["arguments"]!))],
    };

    private static List<JsonNode> Frames(string stream) =>
        [.. stream.Split('\n').Where(line => line.StartsWith("data: {", StringComparison.Ordinal)).Select(line => JsonNode.Parse(line["data: ".Length..])!)];
}
