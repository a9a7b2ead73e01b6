using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Writes the lines of Ollama's chat and generate, which differ in the member that holds the text. Ollama has only one answer, so other choices are dropped.
/// </summary>
internal abstract class OllamaEventWriter(ReplyStamp stamp) : EventWriter
{
    private byte[]? head;
    private Utf8JsonWriter? json;
    private Usage? usage;
    private ChatEvent.Finished? finished;
    private ProxyNote note = new(stamp);
    private bool failed;

    protected ReplyStamp Stamp => stamp;

    public sealed override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (failed) return;
        note.See(happened);
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
                var line = Begin(output);
                WriteText(line, token);
                line.WriteBoolean("done"u8, false);
                if (token.Opaque.Member("logprobs"u8) is { } probabilities) OllamaChatProbabilities.Write(line, [probabilities]);
                End(line, output);
                break;
            case ChatEvent.ToolCall piece:
                Call(piece);
                break;
            case ChatEvent.Finished last:
                finished = last;
                break;
        }
    }

    public sealed override void End(IBufferWriter<byte> output)
    {
        if (failed) return;
        var line = Begin(output);
        WriteLast(line, finished?.Reason ?? FinishReason.Stop, finished?.Opaque, usage);
        note.Write(line);
        End(line, output);
    }

    /// <summary>Writes the members of a line with text.</summary>
    protected abstract void WriteText(Utf8JsonWriter json, ChatEvent.Token token);

    /// <summary>Writes the members of the last line.</summary>
    protected abstract void WriteLast(Utf8JsonWriter json, FinishReason reason, JsonElement? opaque, Usage? usage);

    /// <summary>Takes a piece of a tool call. The default drops it, because generate has no calls.</summary>
    protected virtual void Call(ChatEvent.ToolCall piece)
    {
    }

    private Utf8JsonWriter Begin(IBufferWriter<byte> output)
    {
        head ??= OllamaChatJson.Head(stamp);
        json ??= WireJson.NewWriter(output);
        json.Reset(output);
        json.WriteStartObject();
        json.WritePropertyName("model"u8);
        json.WriteRawValue(head, skipInputValidation: true);
        return json;
    }

    private static void End(Utf8JsonWriter line, IBufferWriter<byte> output)
    {
        line.WriteEndObject();
        line.Flush();
        output.Write("\n"u8);
    }
}
