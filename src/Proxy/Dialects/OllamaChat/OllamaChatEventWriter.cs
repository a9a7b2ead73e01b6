using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Writes Ollama's lines. Tool calls go out whole in the last line, as the real server sends them, together with the counts. Ollama has one answer: other choices are not written.
/// </summary>
internal sealed class OllamaChatEventWriter(ReplyStamp stamp) : EventWriter
{
    private readonly List<WholeToolCall> calls = [];
    private byte[]? head;
    private Utf8JsonWriter? json;
    private Usage? usage;
    private ChatEvent.Finished? finished;
    private bool failed;

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (failed) return;
        switch (happened)
        {
            case ChatEvent.Finished { Error: { } error }:
                failed = true;
                OllamaChatErrors.WriteToStream(error, output);
                break;
            case ChatEvent.UsageReported reported:
                usage = reported.Usage;
                break;
            case { Choice: not 0 }:
                break;
            case ChatEvent.Token token:
                WriteToken(token, output);
                break;
            case ChatEvent.ToolCall piece:
                Add(calls, piece);
                break;
            case ChatEvent.Finished last:
                finished = last;
                break;
        }
    }

    public override void End(IBufferWriter<byte> output)
    {
        if (failed) return;
        BeginMessage(output);
        json!.WriteString("content"u8, ""u8);
        WriteCalls(json, calls, stamp);
        json.WriteEndObject();
        WriteEnd(json, finished?.Reason ?? FinishReason.Stop, finished?.Opaque, usage);
        json.Flush();
        output.Write("\n"u8);
    }

    public static void Add(List<WholeToolCall> calls, ChatEvent.ToolCall piece)
    {
        var call = calls.Find(known => known.Index == piece.Index);
        if (call is null) calls.Add(call = new WholeToolCall(piece.Index));
        call.Id ??= piece.Id;
        call.Name ??= piece.Name;
        call.Add(piece.Arguments);
    }

    public static void WriteCalls(Utf8JsonWriter json, List<WholeToolCall> calls, ReplyStamp stamp)
    {
        if (calls.Count == 0) return;
        json.WriteStartArray("tool_calls"u8);
        foreach (var call in calls)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, call.Id ?? $"call_{stamp.TraceId}{call.Index}");
            json.WriteStartObject("function"u8);
            json.WriteNumber("index"u8, call.Index);
            json.WriteString("name"u8, call.Name ?? "");
            OllamaChatJson.WriteArguments(json, call.Arguments);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>What follows the message in a last line or a whole answer, the object's end included.</summary>
    public static void WriteEnd(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        OllamaChatJson.WriteDone(json, reason, opaque);
        OllamaChatJson.WriteUsage(json, usage);
        json.WriteEndObject();
    }

    private void WriteToken(ChatEvent.Token token, IBufferWriter<byte> output)
    {
        if (token.Text.Length == 0 && token.Opaque is null) return;
        BeginMessage(output);
        if (token.Kind is TokenKind.Reasoning)
        {
            json!.WriteString("content"u8, ""u8);
            json.WriteString("thinking"u8, token.Text);
        }
        else
        {
            json!.WriteString("content"u8, token.Text);
        }

        json.WriteEndObject();
        json.WriteBoolean("done"u8, false);
        if (token.Opaque.Member("logprobs"u8) is { } probabilities) OllamaChatProbabilities.Write(json, [probabilities]);
        json.WriteEndObject();
        json.Flush();
        output.Write("\n"u8);
    }

    private void BeginMessage(IBufferWriter<byte> output)
    {
        head ??= OllamaChatJson.Head(stamp);
        json ??= WireJson.NewWriter(output);
        json.Reset(output);
        json.WriteStartObject();
        json.WritePropertyName("model"u8);
        json.WriteRawValue(head, skipInputValidation: true);
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
    }
}
