using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary><c>POST /v1/chat/completions</c>, for OpenAI's clients.</summary>
internal sealed class OpenAiChatClientDialect : ClientDialect
{
    public static ReadOnlySpan<byte> Comment => ": keep-alive\n\n"u8;

    public override DialectName Name => DialectName.OpenAiChat;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string StreamContentType => OpenAiChatJson.StreamContentType;
    public override string WholeContentType => OpenAiChatJson.WholeContentType;
    public override bool StreamsByDefault => false;
    public override ReadOnlySpan<byte> KeepAlive => Comment;

    public override void CutPrompt(ReadOnlySpan<byte> body, List<Range> pieces) => PromptPieces.Find(body, pieces);

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBefore(body, "messages"u8, "text"u8, text);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) => OpenAiChatRequestCodec.Read(body, out request);

    public override bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => OpenAiMembers.IsOnlySpelling(name, value, request);

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new OpenAiChatEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        using var json = WireJson.NewWriter(output);
        OpenAiChatJson.WriteHead(json, whole.Id ?? OpenAiChatEventWriter.IdOf(stamp), "chat.completion", whole.Created, whole.Opaque, stamp);
        foreach (var choice in whole.Choices) WriteChoice(json, choice, stamp);
        OpenAiChatJson.WriteTail(json, whole);
    }

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.WriteToStream(error, output);

    private static void WriteChoice(Utf8JsonWriter json, WholeChoice choice, ReplyStamp stamp)
    {
        json.WriteStartObject();
        json.WriteNumber("index"u8, choice.Number);
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
        if (choice.Answer.Length == 0 && (choice.ToolCalls.Count > 0 || choice.Refusal.Length > 0)) json.WriteNull("content"u8);
        else json.WriteLongString("content"u8, choice.Answer);
        json.WriteString("refusal"u8, choice.Refusal.Length == 0 ? null : choice.Refusal);
        if (choice.Reasoning.Length > 0)
        {
            json.WriteString("reasoning_content"u8, choice.Reasoning);
            json.WriteString("reasoning"u8, choice.Reasoning);
        }

        if (choice.ToolCalls.Count > 0)
        {
            json.WriteStartArray("tool_calls"u8);
            foreach (var call in choice.ToolCalls)
            {
                json.WriteStartObject();
                json.WriteString("id"u8, call.Id ?? OpenAiChatEventWriter.CallIdOf(stamp, choice.Number, call.Index));
                json.WriteString("type"u8, "function"u8);
                json.WriteStartObject("function"u8);
                json.WriteString("name"u8, call.Name ?? "");
                json.WriteString("arguments"u8, call.Arguments);
                json.WriteEndObject();
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
        WriteProbabilities(json, choice.LogProbabilities);
        json.WriteString("finish_reason"u8, OpenAiChatJson.Word(choice.Reason));
        json.WriteEndObject();
    }

    private static void WriteProbabilities(Utf8JsonWriter json, List<JsonElement> pieces)
    {
        if (pieces.Count == 0)
        {
            json.WriteNull("logprobs"u8);
            return;
        }

        json.WriteStartObject("logprobs"u8);
        WriteJoined(json, "content", pieces);
        WriteJoined(json, "refusal", pieces);
        json.WriteEndObject();
    }

    private static void WriteJoined(Utf8JsonWriter json, string name, List<JsonElement> pieces)
    {
        json.WritePropertyName(name);
        var any = false;
        foreach (var piece in pieces)
        {
            if (!piece.TryGetProperty(name, out var list) || list.ValueKind is not JsonValueKind.Array) continue;
            if (!any) json.WriteStartArray();
            any = true;
            foreach (var token in list.EnumerateArray()) json.WriteAsItCame(token);
        }

        if (any) json.WriteEndArray();
        else json.WriteNullValue();
    }
}
