using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary>Writes the chunks of a completion. The format has no place for reasoning and tool calls, so they are dropped.</summary>
internal sealed class OpenAiCompletionsEventWriter(ReplyStamp stamp) : EventWriter
{
    public const string Kind = "text_completion";

    private readonly OpenAiChunks chunks = new(stamp, Kind, IdOf);
    private readonly Dictionary<int, int> offsets = [];

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (chunks.TryWrite(happened, output)) return;
        switch (happened)
        {
            case ChatEvent.Token { Kind: TokenKind.Answer or TokenKind.Refusal } token:
                WriteChunk(token.Text, happened, null, output);
                break;
            case ChatEvent.Finished finished:
                WriteChunk("", happened, finished.Reason, output);
                break;
        }
    }

    public override void End(IBufferWriter<byte> output) => chunks.EndStream(output);

    /// <summary>The answer's id if the host gave none.</summary>
    public static string IdOf(ReplyStamp stamp) => $"cmpl-{stamp.TraceId}";

    // completions have no calls
    public static ReadOnlySpan<byte> Word(FinishReason reason) => reason is FinishReason.ToolCalls ? "stop"u8 : OpenAiChatJson.Word(reason);

    private void WriteChunk(string text, ChatEvent happened, FinishReason? reason, IBufferWriter<byte> output)
    {
        chunks.Begin(output);
        var json = chunks.Json;
        json.Reset(output);
        json.WriteStartObject();
        json.WriteString("text"u8, text);
        json.WriteNumber("index"u8, happened.Choice);
        json.WritePropertyName("logprobs"u8);
        WriteProbabilities(json, happened);
        if (reason is { } known) json.WriteString("finish_reason"u8, Word(known));
        else json.WriteNull("finish_reason"u8);
        json.WriteEndObject();
        json.Flush();
        output.Write("]"u8);
        if (reason is null) chunks.End(output);
        else chunks.EndLast(output);
    }

    private void WriteProbabilities(Utf8JsonWriter json, ChatEvent happened)
    {
        if (happened.Opaque.Member("logprobs"u8) is not { } probabilities)
        {
            json.WriteNullValue();
            return;
        }

        offsets.TryGetValue(happened.Choice, out var offset);
        OpenAiTextProbabilities.Write(json, [probabilities], ref offset);
        offsets[happened.Choice] = offset;
    }
}
