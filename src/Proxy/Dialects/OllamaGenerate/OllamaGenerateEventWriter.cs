using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary>Writes the lines of <c>/api/generate</c>. It has one answer and no tools: other choices and calls are not written.</summary>
internal sealed class OllamaGenerateEventWriter(ReplyStamp stamp) : EventWriter
{
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
            case ChatEvent.Token token when token.Text.Length > 0 || token.Opaque is not null:
                WriteToken(token, output);
                break;
            case ChatEvent.Finished last:
                finished = last;
                break;
        }
    }

    public override void End(IBufferWriter<byte> output)
    {
        if (failed) return;
        Begin(output);
        json!.WriteString("response"u8, ""u8);
        WriteEnd(json, finished?.Reason ?? FinishReason.Stop, finished?.Opaque, usage);
        EndLine(output);
    }

    /// <summary>What the end of an answer says. The context is empty: what it stands for, token numbers of one model in one host, only an Ollama host knows; clients take its list for granted.</summary>
    public static void WriteEnd(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage)
    {
        OllamaChatJson.WriteDone(json, reason, opaque);
        if (opaque.Member("done_reason"u8) is null) // loading and unloading have none
        {
            json.WriteStartArray("context"u8);
            json.WriteEndArray();
        }

        OllamaChatJson.WriteUsage(json, usage);
    }

    private void WriteToken(ChatEvent.Token token, IBufferWriter<byte> output)
    {
        Begin(output);
        var thinks = token.Kind is TokenKind.Reasoning;
        json!.WriteString("response"u8, thinks ? "" : token.Text);
        if (thinks) json.WriteString("thinking"u8, token.Text);
        json.WriteBoolean("done"u8, false);
        if (token.Opaque.Member("logprobs"u8) is { } probabilities) OllamaChatProbabilities.Write(json, [probabilities]);
        EndLine(output);
    }

    private void Begin(IBufferWriter<byte> output)
    {
        head ??= OllamaChatJson.Head(stamp);
        json ??= WireJson.NewWriter(output);
        json.Reset(output);
        json.WriteStartObject();
        json.WritePropertyName("model"u8);
        json.WriteRawValue(head, skipInputValidation: true);
    }

    private void EndLine(IBufferWriter<byte> output)
    {
        json!.WriteEndObject();
        json.Flush();
        output.Write("\n"u8);
    }
}
