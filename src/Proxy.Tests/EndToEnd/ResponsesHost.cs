using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What the hosts of each dialect write for a response.</summary>
internal static class ResponsesHost
{
    public static string ContentType(string dialect) => dialect is "ollama" ? Ollama.Lines : OpenAi.Sse;

    /// <summary>The beginning of a stream: what comes before the first piece of text.</summary>
    public static string Begin(string dialect, string id = "resp_host1") => dialect switch
    {
        "openai" => OpenAi.Role(),
        "ollama" => "",
        _ => Event("response.created", $$"""{"response":{{Object(id, "in_progress", "[]")}},"sequence_number":0}""")
            + Event("response.output_item.added", """
                {"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]},"sequence_number":1}
                """),
    };

    /// <summary>A piece of text.</summary>
    /// <param name="number">Counts the pieces from 0.</param>
    public static string Token(string dialect, string text, int number = 0) => dialect switch
    {
        "openai" => OpenAi.Token(text),
        "ollama" => Ollama.Token(text),
        _ => Event("response.output_text.delta",
            $$"""{"item_id":"msg_1","output_index":0,"content_index":0,"delta":{{OpenAi.Quote(text)}},"sequence_number":{{number + 2}}}"""),
    };

    public static string[] End(string dialect, string text, string id = "resp_host1", string more = ",\"store\":true") => dialect switch
    {
        "openai" => [OpenAi.Stop(), OpenAi.Done],
        "ollama" => [Ollama.Last()],
        _ => [Event("response.completed", $$"""{"response":{{Object(id, "completed", Output(text), more)}},"sequence_number":99}""")],
    };

    /// <summary>A whole stream.</summary>
    public static string[] Stream(string dialect, string text, string id = "resp_host1", string more = ",\"store\":true") =>
        [Begin(dialect, id) + Token(dialect, text), .. End(dialect, text, id, more)];

    /// <summary>A whole answer as one document.</summary>
    public static string Document(string dialect, string text, string id = "resp_host1", string more = ",\"store\":true") => dialect switch
    {
        "openai" => OpenAi.Whole(text),
        "ollama" => Ollama.Last(text: text).TrimEnd(),
        _ => Object(id, "completed", Output(text), more),
    };

    private static string Output(string text) => $$"""
        [{"id":"msg_1","type":"message","status":"completed","role":"assistant",
        "content":[{"type":"output_text","text":{{OpenAi.Quote(text)}},"annotations":[]}]}]
        """.ReplaceLineEndings("");

    private static string Object(string id, string status, string output, string more = "") =>
        $$"""{"id":"{{id}}","object":"response","created_at":1795000000,"status":"{{status}}","model":"served","output":{{output}}{{more}}}""";

    private static string Event(string type, string data) => $"event: {type}\ndata: {{\"type\":\"{type}\",{data.Trim()[1..]}\n\n";
}
