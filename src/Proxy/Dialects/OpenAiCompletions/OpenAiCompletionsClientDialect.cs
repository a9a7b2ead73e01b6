using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary><c>POST /v1/completions</c>, for OpenAI's clients.</summary>
internal sealed class OpenAiCompletionsClientDialect : ClientDialect
{
    public override DialectName Name => DialectName.OpenAiCompletions;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string Verb => "completions";
    public override string StreamContentType => OpenAiChatJson.StreamContentType;
    public override string WholeContentType => OpenAiChatJson.WholeContentType;
    public override bool StreamsByDefault => false;
    public override ReadOnlySpan<byte> KeepAlive => OpenAiChatClientDialect.Comment;

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBeforePrompt(body, text);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) => OpenAiCompletionsRequestCodec.Read(body, out request);

    public override bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => OpenAiMembers.IsOnlySpelling(name, value, request);

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new OpenAiCompletionsEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        using var json = WireJson.NewWriter(output);
        OpenAiChatJson.WriteHead(json, whole.Id ?? OpenAiCompletionsEventWriter.IdOf(stamp), OpenAiCompletionsEventWriter.Kind, whole.Created, whole.Opaque,
            stamp);
        foreach (var choice in whole.Choices)
        {
            var offset = 0;
            json.WriteStartObject();
            json.WriteString("text"u8, choice.Answer + choice.Refusal);
            json.WriteNumber("index"u8, choice.Number);
            json.WritePropertyName("logprobs"u8);
            OpenAiTextProbabilities.Write(json, choice.LogProbabilities, ref offset);
            json.WriteString("finish_reason"u8, OpenAiCompletionsEventWriter.Word(choice.Reason));
            json.WriteEndObject();
        }

        OpenAiChatJson.WriteTail(json, whole);
    }

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.WriteToStream(error, output);
}
