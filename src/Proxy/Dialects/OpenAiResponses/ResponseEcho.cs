using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>How an answer ended, in this dialect's terms.</summary>
internal readonly record struct ResponseEnd(string Status, string? IncompleteReason = null, ProxyError? Error = null)
{
    public static readonly ResponseEnd Running = new("in_progress");

    public static ResponseEnd Of(FinishReason? reason) => reason switch
    {
        FinishReason.Length => new("incomplete", "max_output_tokens"),
        FinishReason.ContentFilter => new("incomplete", "content_filter"),
        _ => new("completed"),
    };
}

/// <summary>
/// Writes the response object: the answer itself, and the request's parameters, which every answer of this dialect repeats. Defaults are written if there is no
/// request.
/// </summary>
internal sealed class ResponseEcho
{
    private readonly ReplyStamp stamp;
    private readonly IReadOnlyList<KeyValuePair<string, JsonElement>> asked;

    public ResponseEcho(ReplyStamp stamp)
    {
        this.stamp = stamp;
        asked = stamp.Request is { Origin: DialectName.OpenAiResponses } request ? request.AsItCame : [];
        SummarisesReasoning = OpenAiResponsesJson.Text(Asked("reasoning"), "summary"u8) is not null;
        EncryptsReasoning = Includes(OpenAiResponsesJson.EncryptedReasoning);
        IncludesResults = Includes(OpenAiResponsesJson.SearchResults);
    }

    /// <summary>True if the client asked for a summary of the reasoning. The reasoning is then written as summary parts, otherwise as reasoning text.</summary>
    public bool SummarisesReasoning { get; }

    /// <summary>True if the client wants reasoning in an opaque form that it can send back.</summary>
    public bool EncryptsReasoning { get; }

    /// <summary>True if the client wants the passages that a search of documents found.</summary>
    public bool IncludesResults { get; }

    public ResponsePartKind ReasoningPart => SummarisesReasoning ? ResponsePartKind.ReasoningSummary : ResponsePartKind.ReasoningText;

    public void Write(Utf8JsonWriter json, ChatEvent.Started? started, ResponseEnd end, IReadOnlyList<ResponseItem> items, Usage? usage, in ProxyNote note)
    {
        var created = started?.Created ?? stamp.Created.ToUnixTimeSeconds();
        json.WriteStartObject();
        json.WriteString("id"u8, OpenAiResponsesJson.IdOf(stamp, started?.Id));
        json.WriteString("object"u8, "response"u8);
        json.WriteNumber("created_at"u8, created);
        if (end.Status == "completed") json.WriteNumber("completed_at"u8, Math.Max(created, stamp.Created.ToUnixTimeSeconds()));
        json.WriteString("status"u8, end.Status);
        json.WriteBoolean("background"u8, stamp.Terms is { IsBackground: true });
        WriteError(json, end.Error);
        WriteIncomplete(json, end.IncompleteReason);
        WriteAsked(json, "instructions");
        WriteAsked(json, "max_output_tokens");
        WriteAsked(json, "max_tool_calls");
        WriteMetadata(json);
        json.WriteString("model"u8, stamp.Model);
        WriteOutput(json, end, items);
        json.WriteBoolean("parallel_tool_calls"u8, Asked("parallel_tool_calls") is not { ValueKind: JsonValueKind.False });
        json.WriteString("previous_response_id"u8, stamp.Terms?.Previous);
        WriteAsked(json, "prompt_cache_key");
        WriteReasoning(json);
        WriteAsked(json, "safety_identifier");
        json.WriteString("service_tier"u8, "default"u8);
        json.WriteBoolean("store"u8, stamp.Terms is { IsStored: true });
        WriteNumber(json, "temperature", 1);
        WriteText(json);
        WriteToolChoice(json);
        WriteTools(json);
        WriteNumber(json, "top_logprobs", 0);
        WriteNumber(json, "top_p", 1);
        json.WriteString("truncation"u8, "disabled"u8);
        if (usage is not null)
        {
            json.WritePropertyName("usage"u8);
            OpenAiResponsesJson.WriteUsage(json, usage);
        }

        if (Asked("user") is { ValueKind: JsonValueKind.String } user) json.WriteAsItCame("user", user);
        if (end != ResponseEnd.Running) note.Write(json);
        json.WriteEndObject();
    }

    private bool Includes(string wanted) => Asked("include") is { ValueKind: JsonValueKind.Array } include
        && include.EnumerateArray().Any(item => item.ValueKind is JsonValueKind.String && item.ValueEquals(wanted));

    private JsonElement Asked(string name) => asked.Find(name) ?? default;

    private void WriteOutput(Utf8JsonWriter json, ResponseEnd end, IReadOnlyList<ResponseItem> items)
    {
        json.WriteStartArray("output"u8);
        for (var i = 0; i < items.Count; i++)
            items[i].Write(json, i == items.Count - 1 && end.Status is not "completed" ? "incomplete" : "completed", empty: false, this);
        json.WriteEndArray();
    }

    public static void WriteError(Utf8JsonWriter json, ProxyError? error)
    {
        if (error is null)
        {
            json.WriteNull("error"u8);
            return;
        }

        json.WriteStartObject("error"u8);
        json.WriteString("code"u8, OpenAiResponsesErrors.CodeOf(error));
        json.WriteString("message"u8, error.Message);
        json.WriteEndObject();
    }

    private static void WriteIncomplete(Utf8JsonWriter json, string? reason)
    {
        if (reason is null)
        {
            json.WriteNull("incomplete_details"u8);
            return;
        }

        json.WriteStartObject("incomplete_details"u8);
        json.WriteString("reason"u8, reason);
        json.WriteEndObject();
    }

    private void WriteAsked(Utf8JsonWriter json, string name)
    {
        if (Asked(name) is { ValueKind: not JsonValueKind.Undefined } value) json.WriteAsItCame(name, value);
        else json.WriteNull(name);
    }

    private void WriteNumber(Utf8JsonWriter json, string name, int unsaid)
    {
        if (Asked(name) is { ValueKind: JsonValueKind.Number } value) json.WriteAsItCame(name, value);
        else json.WriteNumber(name, unsaid);
    }

    private void WriteMetadata(Utf8JsonWriter json)
    {
        if (Asked("metadata") is { ValueKind: JsonValueKind.Object } value)
        {
            json.WriteAsItCame("metadata", value);
            return;
        }

        json.WriteStartObject("metadata"u8);
        json.WriteEndObject();
    }

    private void WriteReasoning(Utf8JsonWriter json)
    {
        if (Asked("reasoning") is { ValueKind: JsonValueKind.Object } value)
        {
            json.WriteAsItCame("reasoning", value);
            return;
        }

        json.WriteStartObject("reasoning"u8);
        json.WriteNull("effort"u8);
        json.WriteNull("summary"u8);
        json.WriteEndObject();
    }

    private void WriteText(Utf8JsonWriter json)
    {
        var text = Asked("text");
        json.WriteStartObject("text"u8);
        if (text.ValueKind is JsonValueKind.Object && text.TryGetProperty("format"u8, out var format) && format.ValueKind is JsonValueKind.Object)
        {
            json.WriteAsItCame("format", format);
        }
        else
        {
            json.WriteStartObject("format"u8);
            json.WriteString("type"u8, "text"u8);
            json.WriteEndObject();
        }

        if (text.ValueKind is JsonValueKind.Object && text.TryGetProperty("verbosity"u8, out var verbosity)) json.WriteAsItCame("verbosity", verbosity);
        json.WriteEndObject();
    }

    private void WriteToolChoice(Utf8JsonWriter json)
    {
        if (Asked("tool_choice") is { ValueKind: JsonValueKind.String or JsonValueKind.Object } value) json.WriteAsItCame("tool_choice", value);
        else json.WriteString("tool_choice"u8, "auto"u8);
    }

    /// <summary>Writes the tools as they came. A function also gets the members that the answer's schema requires, as null if the request had none.</summary>
    private void WriteTools(Utf8JsonWriter json)
    {
        json.WriteStartArray("tools"u8);
        if (Asked("tools") is { ValueKind: JsonValueKind.Array } tools)
        {
            foreach (var tool in tools.EnumerateArray())
            {
                if (OpenAiResponsesJson.Text(tool, "type"u8) is not "function"
                    || (tool.TryGetProperty("strict"u8, out _) && tool.TryGetProperty("parameters"u8, out _)))
                {
                    json.WriteAsItCame(tool);
                    continue;
                }

                json.WriteStartObject();
                foreach (var member in tool.EnumerateObject()) json.WriteAsItCame(member.Name, member.Value);
                if (!tool.TryGetProperty("strict"u8, out _)) json.WriteNull("strict"u8);
                if (!tool.TryGetProperty("parameters"u8, out _)) json.WriteNull("parameters"u8);
                json.WriteEndObject();
            }
        }

        json.WriteEndArray();
    }
}
