using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

internal enum ResponseItemKind
{
    Message,
    Reasoning,
    FunctionCall,
    CustomToolCall,
    FileSearchCall,
}

/// <summary>One element of a response's <c>output</c>, as far as it has arrived.</summary>
internal sealed class ResponseItem(ResponseItemKind kind, int index, string id)
{
    private readonly StringBuilder arguments = new();
    private readonly CustomToolInput? input = kind is ResponseItemKind.CustomToolCall ? new() : null;

    public ResponseItemKind Kind => kind;
    public bool IsCall => kind is ResponseItemKind.FunctionCall or ResponseItemKind.CustomToolCall;

    /// <summary>Its index in <c>output</c>.</summary>
    public int Index => index;
    public string Id => id;

    /// <summary>A message's texts and refusals, or the single text of reasoning.</summary>
    public List<ResponsePart> Parts { get; } = [];

    /// <summary>The call's number among the calls of the answer.</summary>
    public int CallIndex { get; init; }
    public string CallId { get; init; } = "";
    public string Name { get; set; } = "";

    /// <summary>The namespace of the called tool. Null if it has none.</summary>
    public string? Namespace { get; init; }

    /// <summary>A function call's arguments as JSON, or a custom tool call's plain text.</summary>
    public string Arguments => arguments.ToString();

    /// <summary>What a search of documents looked for, and what it found.</summary>
    public IReadOnlyList<string> Queries { get; init; } = [];
    public IReadOnlyList<Source> Results { get; init; } = [];

    /// <summary>True once the item is complete and takes no more content.</summary>
    public bool Closed { get; set; }

    /// <summary>The item for a search that was made before the model was asked.</summary>
    public static ResponseItem OfSearch(ReplyStamp stamp, SearchNote search, IReadOnlyList<Source> found, int place) =>
        new(ResponseItemKind.FileSearchCall, place, OpenAiResponsesJson.ItemId("fs", stamp, place)) { Queries = search.Queries, Results = found };

    /// <summary>Takes a piece of the arguments as the host sends them and returns what it adds to <see cref="Arguments"/>.</summary>
    public string? AddArguments(string? piece)
    {
        var added = input is null ? piece : input.Add(piece);
        arguments.Append(added);
        return added;
    }

    /// <summary>Called when the arguments are complete. Returns what that adds to <see cref="Arguments"/>.</summary>
    public string EndArguments()
    {
        var rest = input?.End() ?? "";
        arguments.Append(rest);
        return rest;
    }

    /// <summary>The item for a call of the tool that the host named. It has the form and the name under which the client declared the tool.</summary>
    public static ResponseItem OfCall(ReplyStamp stamp, int place, int call, string? id, string? name)
    {
        var tool = stamp.Request?.Tools.FirstOrDefault(tool => tool.Name == name);
        var custom = tool is { TakesText: true };
        return new(custom ? ResponseItemKind.CustomToolCall : ResponseItemKind.FunctionCall, place,
            OpenAiResponsesJson.ItemId(custom ? "ctc" : "fc", stamp, place))
        {
            CallIndex = call,
            CallId = id ?? OpenAiChat.OpenAiChatEventWriter.CallIdOf(stamp, 0, call),
            Name = CustomTool.OwnName(tool?.Namespace, name ?? ""),
            Namespace = tool?.Namespace,
        };
    }

    /// <summary>Writes the item, either empty (as announced) or with its content so far.</summary>
    public void Write(Utf8JsonWriter json, string status, bool empty, ResponseEcho echo)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, id);
        switch (kind)
        {
            case ResponseItemKind.Message:
                json.WriteString("type"u8, "message"u8);
                json.WriteString("status"u8, status);
                json.WriteString("role"u8, "assistant"u8);
                json.WriteStartArray("content"u8);
                if (!empty) foreach (var part in Parts) part.Write(json);
                json.WriteEndArray();
                break;
            case ResponseItemKind.Reasoning:
                json.WriteString("type"u8, "reasoning"u8);
                WriteReasoning(json, empty, echo);
                break;
            case ResponseItemKind.FileSearchCall:
                json.WriteString("type"u8, "file_search_call"u8);
                json.WriteString("status"u8, status);
                json.WriteList("queries"u8, empty ? [] : Queries);
                WriteResults(json, empty || !echo.IncludesResults);
                break;
            default:
                var custom = kind is ResponseItemKind.CustomToolCall;
                json.WriteString("type"u8, custom ? "custom_tool_call"u8 : "function_call"u8);
                json.WriteString("status"u8, status);
                json.WriteString("call_id"u8, CallId);
                json.WriteString("name"u8, Name);
                if (Namespace is not null) json.WriteString("namespace"u8, Namespace);
                json.WriteString(custom ? "input"u8 : "arguments"u8, empty ? "" : Arguments);
                break;
        }

        json.WriteEndObject();
    }

    private void WriteResults(Utf8JsonWriter json, bool none)
    {
        if (none)
        {
            json.WriteNull("results"u8);
            return;
        }

        json.WriteStartArray("results"u8);
        foreach (var found in Results)
        {
            json.WriteStartObject();
            if (found.Attributes is { } attributes) json.WriteAsItCame("attributes", attributes);
            else json.WriteEmptyObject("attributes"u8);
            json.WriteString("file_id"u8, found.FileId ?? found.Id);
            json.WriteString("filename"u8, found.FileName ?? found.Title ?? found.Id);
            json.WriteNumber("score"u8, found.Score ?? 0);
            json.WriteString("text"u8, found.Text ?? "");
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private void WriteReasoning(Utf8JsonWriter json, bool empty, ResponseEcho echo)
    {
        json.WriteStartArray("summary"u8);
        if (!empty && echo.SummarisesReasoning) foreach (var part in Parts) part.Write(json);
        json.WriteEndArray();
        if (!echo.SummarisesReasoning)
        {
            json.WriteStartArray("content"u8);
            if (!empty) foreach (var part in Parts) part.Write(json);
            json.WriteEndArray();
        }

        // Not actually encrypted: a client that does not store reasoning as plain text sends this member back with its next turn.
        if (!empty && echo.EncryptsReasoning) json.WriteString("encrypted_content"u8, string.Concat(Parts.Select(part => part.Text)));
    }
}

internal enum ResponsePartKind
{
    Text,
    Refusal,
    ReasoningText,
    ReasoningSummary,
}

/// <summary>One part of an item's content.</summary>
internal sealed class ResponsePart(ResponsePartKind kind)
{
    private readonly StringBuilder text = new();

    public ResponsePartKind Kind => kind;
    public string Text => text.ToString();

    /// <summary>The <c>logprobs</c> of each piece of text, in the form that Chat Completions uses.</summary>
    public List<JsonElement> LogProbabilities { get; } = [];

    /// <summary>The sources that the text cites. Known when the text is complete.</summary>
    public IReadOnlyList<FileCitation> Citations { get; set; } = [];

    /// <summary>True once the part is complete and takes no more content.</summary>
    public bool Closed { get; set; }

    public void Add(string piece) => text.Append(piece);

    public void Write(Utf8JsonWriter json, bool empty = false)
    {
        var said = empty ? "" : Text;
        json.WriteStartObject();
        switch (kind)
        {
            case ResponsePartKind.Text:
                json.WriteString("type"u8, "output_text"u8);
                json.WriteLongString("text"u8, said);
                json.WriteStartArray("annotations"u8);
                if (!empty) foreach (var citation in Citations) citation.Write(json);
                json.WriteEndArray();
                WriteProbabilities(json, empty ? [] : LogProbabilities);
                break;
            case ResponsePartKind.Refusal:
                json.WriteString("type"u8, "refusal"u8);
                json.WriteString("refusal"u8, said);
                break;
            case ResponsePartKind.ReasoningText:
                json.WriteString("type"u8, "reasoning_text"u8);
                json.WriteLongString("text"u8, said);
                break;
            default:
                json.WriteString("type"u8, "summary_text"u8);
                json.WriteLongString("text"u8, said);
                break;
        }

        json.WriteEndObject();
    }

    /// <summary>Writes <c>logprobs</c>. Chat Completions has an object of two lists; this dialect has one list.</summary>
    public static void WriteProbabilities(Utf8JsonWriter json, IReadOnlyList<JsonElement> pieces)
    {
        json.WriteStartArray("logprobs"u8);
        foreach (var piece in pieces)
        {
            if (!piece.TryGetProperty("content"u8, out var list) || list.ValueKind is not JsonValueKind.Array) continue;
            foreach (var token in list.EnumerateArray()) json.WriteAsItCame(token);
        }

        json.WriteEndArray();
    }

    public static IReadOnlyList<JsonElement> ProbabilitiesOf(ChatEvent.Token token) => token.Opaque.Member("logprobs"u8) is { } some ? [some] : [];
}
