using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// <c>POST /v1/responses</c>, for OpenAI's clients and Codex. A request that continues an earlier response has the whole conversation when it comes here.
/// </summary>
internal sealed class OpenAiResponsesClientDialect : ClientDialect
{
    public override DialectName Name => DialectName.OpenAiResponses;
    public override StreamFraming Framing => StreamFraming.ServerSentEvents;
    public override string Verb => "responses";
    public override string StreamContentType => OpenAiChatJson.StreamContentType;
    public override string WholeContentType => OpenAiChatJson.WholeContentType;
    public override bool StreamsByDefault => false;
    public override ReadOnlySpan<byte> KeepAlive => OpenAiChatClientDialect.Comment;

    public override BodyEdit? PutBeforeLastTurn(ReadOnlySpan<byte> body, string text) => LastUserTurn.PutBefore(body, "input"u8, "input_text"u8, text);

    public override FileSearch? FindFileSearch(ReadOnlySpan<byte> body) => FileSearchTool.Find(body);

    public override ProxyError? ReadRequest(ReadOnlyMemory<byte> body, out ChatRequest? request) => OpenAiResponsesRequestCodec.Read(body, out request);

    public override bool IsOnlySpelling(string name, JsonElement value, ChatRequest request) => OpenAiResponsesSpelling.IsOnlySpelling(name, value, request);

    public override EventWriter NewEventWriter(ReplyStamp stamp) => new OpenAiResponsesEventWriter(stamp);

    public override void WriteWhole(IReadOnlyList<ChatEvent> events, ReplyStamp stamp, IBufferWriter<byte> output)
    {
        var whole = WholeAnswer.Of(events, stamp);
        var echo = new ResponseEcho(stamp);
        var answer = whole.Choices[0];
        var items = new List<ResponseItem>();
        if (stamp.Search is { } search) items.Add(ResponseItem.OfSearch(stamp, search, whole.Note.Sources, 0));
        if (answer.Reasoning.Length > 0) Part(Item(ResponseItemKind.Reasoning, "rs"), echo.ReasoningPart, answer.Reasoning);
        if (answer.Answer.Length > 0 || answer.Refusal.Length > 0)
        {
            var message = Item(ResponseItemKind.Message, "msg");
            if (answer.Answer.Length > 0)
            {
                var text = Part(message, ResponsePartKind.Text, answer.Answer);
                text.LogProbabilities.AddRange(answer.LogProbabilities);
                if (stamp.Search is not null) text.Citations = FileCitation.Of(answer.Answer, whole.Note.Sources);
            }

            if (answer.Refusal.Length > 0) Part(message, ResponsePartKind.Refusal, answer.Refusal);
        }

        foreach (var call in answer.ToolCalls)
        {
            var item = ResponseItem.OfCall(stamp, items.Count, call.Index, call.Id, call.Name);
            item.AddArguments(call.Arguments);
            item.EndArguments();
            items.Add(item);
        }

        using var json = WireJson.NewWriter(output);
        echo.Write(json, new ChatEvent.Started(whole.Id, null, whole.Created), ResponseEnd.Of(answer.Reason), items, whole.Usage, whole.Note);

        ResponseItem Item(ResponseItemKind kind, string prefix)
        {
            var item = new ResponseItem(kind, items.Count, OpenAiResponsesJson.ItemId(prefix, stamp, items.Count));
            items.Add(item);
            return item;
        }

        static ResponsePart Part(ResponseItem item, ResponsePartKind kind, string text)
        {
            var part = new ResponsePart(kind);
            part.Add(text);
            item.Parts.Add(part);
            return part;
        }
    }

    public override void WriteError(ProxyError error, string traceId, IBufferWriter<byte> output) => OpenAiChatErrors.Write(error, output);

    public override void WriteStreamError(ProxyError error, string traceId, IBufferWriter<byte> output) =>
        OpenAiResponsesErrors.WriteToStream(error, traceId, output);
}
