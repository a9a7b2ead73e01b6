using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary><c>POST /api/generate</c>, for Ollama's clients.</summary>
internal sealed class OllamaGenerateClientDialect : ClientDialect
{
    public override DialectName Name => DialectName.OllamaGenerate;
    public override StreamFraming Framing => StreamFraming.JsonLines;
    public override string Verb => "generate";
    public override string StreamContentType => OllamaChatJson.StreamContentType;
    public override string WholeContentType => OllamaChatJson.WholeContentType;
    public override bool StreamsByDefault => true;
    public override ReadOnlySpan<byte> KeepAlive => default;

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBeforePrompt(body, text);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) => OllamaGenerateRequestCodec.Read(body, out request);

    public override IReadOnlyList<ChatEvent>? AnswerElsewhere(ChatRequest request) => OllamaLoad.IsAsked(request) ? OllamaLoad.Answer(request) : null;

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new OllamaGenerateEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        var choice = whole.Choices[0];
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("model"u8, stamp.Model);
        json.WriteString("created_at"u8, OllamaChatJson.Time(stamp.Created));
        json.WriteLongString("response"u8, choice.Answer + choice.Refusal);
        if (choice.Reasoning.Length > 0) json.WriteString("thinking"u8, choice.Reasoning);
        OllamaGenerateEventWriter.WriteEnd(json, choice.Reason, choice.FinishOpaque, whole.Usage);
        OllamaChatProbabilities.Write(json, choice.LogProbabilities);
        whole.Note.Write(json);
        json.WriteEndObject();
    }

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OllamaChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) => OllamaChatErrors.WriteToStream(error, output);
}
