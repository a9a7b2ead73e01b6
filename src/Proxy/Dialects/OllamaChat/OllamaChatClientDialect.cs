using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary><c>POST /api/chat</c>, for Ollama's clients.</summary>
internal sealed class OllamaChatClientDialect : ClientDialect
{
    public override DialectName Name => DialectName.OllamaChat;
    public override StreamFraming Framing => StreamFraming.JsonLines;
    public override string StreamContentType => OllamaChatJson.StreamContentType;
    public override string WholeContentType => OllamaChatJson.WholeContentType;
    public override bool StreamsByDefault => true;
    public override ReadOnlySpan<byte> KeepAlive => default;

    public override void CutPrompt(ReadOnlySpan<byte> body, List<Range> pieces) => PromptPieces.Find(body, pieces);

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBefore(body, "messages"u8, "text"u8, text);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) => OllamaChatRequestCodec.Read(body, out request);

    public override IReadOnlyList<ChatEvent>? AnswerElsewhere(ChatRequest request) => OllamaLoad.IsAsked(request) ? OllamaLoad.Answer(request) : null;

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new OllamaChatEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        var choice = whole.Choices[0];
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, stamp.Model);
        json.WriteString("created_at"u8, OllamaChatJson.Time(stamp.Created));
        json.WriteStartObject("message"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteLongString("content"u8, choice.Answer + choice.Refusal);
        if (choice.Reasoning.Length > 0) json.WriteString("thinking"u8, choice.Reasoning);
        OllamaChatEventWriter.WriteCalls(json, choice.ToolCalls, stamp);
        json.WriteEndObject();
        OllamaChatProbabilities.Write(json, choice.LogProbabilities);
        OllamaChatEventWriter.WriteEnd(json, choice.Reason, choice.FinishOpaque, whole.Usage);
        whole.Note.Write(json);
        json.WriteEndObject();
    }

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OllamaChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => OllamaChatErrors.WriteToStream(error, output);
}
