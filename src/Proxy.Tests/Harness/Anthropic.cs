using System.Net.ServerSentEvents;
using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>Anthropic's wire format, as a host writes it.</summary>
internal static class Anthropic
{
    public const string Sse = "text/event-stream";

    public static string Request(string model, bool stream = false, string more = "", string text = "hello") =>
        $$"""{"model":{{OpenAi.Quote(model)}},"max_tokens":64,"messages":[{"role":"user","content":{{OpenAi.Quote(text)}}}]"""
            + $$""","stream":{{(stream ? "true" : "false")}}{{more}}}""";

    public static string Start(string model = "served") =>
        Event($$$$"""{"type":"message_start","message":{"id":"msg_host","type":"message","role":"assistant","model":{{{{OpenAi.Quote(model)}}}},"content":"""
            + $$$$"""[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"cache_read_input_tokens":16,"output_tokens":1}}}""");

    public static string Open(int index, string block) => Event($$"""{"type":"content_block_start","index":{{index}},"content_block":{{block}}}""");

    public static string Delta(int index, string delta) => Event($$"""{"type":"content_block_delta","index":{{index}},"delta":{{delta}}}""");

    public static string Text(int index, string text) => Delta(index, $$"""{"type":"text_delta","text":{{OpenAi.Quote(text)}}}""");

    public static string Close(int index) => Event($$"""{"type":"content_block_stop","index":{{index}}}""");

    public static string Stop(string reason = "end_turn") =>
        Event($$$"""{"type":"message_delta","delta":{"stop_reason":"{{{reason}}}","stop_sequence":null},"usage":{"output_tokens":7}}""")
            + Event("""{"type":"message_stop"}""");

    public static string Error(string type, string message) =>
        $$$"""{"type":"error","error":{"type":"{{{type}}}","message":{{{OpenAi.Quote(message)}}}},"request_id":"req_host"}""";

    public static string ErrorEvent(string type, string message) => Event(Error(type, message));

    /// <summary>A complete stream of these tokens.</summary>
    public static string[] Stream(params string[] tokens) =>
        [Start(), Open(0, """{"type":"text","text":""}"""), .. tokens.Select(token => Text(0, token)), Close(0), Stop()];

    public static string Whole(string text, string model = "served") =>
        $$$"""{"id":"msg_host","type":"message","role":"assistant","model":{{{OpenAi.Quote(model)}}},"content":["""
            + $$$"""{"type":"text","text":{{{OpenAi.Quote(text)}}}}],"stop_reason":"end_turn","stop_sequence":null,"usage":"""
            + $$$"""{"input_tokens":9,"output_tokens":7}}""";

    /// <summary>Each event; the name of its line must be its type, except for pings.</summary>
    public static IReadOnlyList<JsonElement> Events(RawReply reply)
    {
        var events = new List<JsonElement>();
        foreach (var item in SseParser.Create(new MemoryStream(reply.Body)).Enumerate())
        {
            var data = JsonElement.Parse(item.Data);
            Assert.Equal(item.EventType, data.GetProperty("type").GetString());
            if (item.EventType != "ping") events.Add(data);
        }

        return events;
    }

    /// <summary>The text that a client's user reads from a stream.</summary>
    public static string Read(RawReply reply) =>
        string.Concat(Events(reply)
            .Select(data => data.TryGetProperty("delta", out var delta) && delta.TryGetProperty("text", out var text) ? text.GetString() : null));

    private static string Event(string data) => $"event: {JsonElement.Parse(data).GetProperty("type").GetString()}\ndata: {data}\n\n";
}
