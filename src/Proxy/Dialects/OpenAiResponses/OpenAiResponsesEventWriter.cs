using System.Buffers;
using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Writes the events of a response. Each item is announced, streamed in deltas, and then repeated complete; at the end the whole response is. Several calls may
/// receive arguments in turns, as the host sends them; all of them are completed at the end. This dialect has only one answer, so other choices are dropped.
/// The JSON around a delta is composed once for each part, so that a delta costs only its own text.
/// </summary>
internal sealed class OpenAiResponsesEventWriter(ReplyStamp stamp) : EventWriter
{
    private readonly List<ResponseItem> items = [];
    private readonly List<WholeToolCall> nameless = [];
    private readonly ArrayBufferWriter<byte> deltaHead = new(256);
    private readonly ResponseEcho echo = new(stamp);
    private Utf8JsonWriter? json;
    private ChatEvent.Started? started;
    private ResponseItem? growing;
    private Usage? usage;
    private ProxyNote note = new(stamp);
    private FinishReason? reason;
    private int sequence;
    private bool begun, over;

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (over) return;
        note.See(happened);
        json ??= WireJson.NewWriter(output);
        switch (happened)
        {
            case ChatEvent.Finished { Error: { } error }:
                Fail(error, output);
                break;
            case ChatEvent.UsageReported reported:
                usage = reported.Usage.After(usage);
                break;
            case ChatEvent.Quiet:
                output.Write(OpenAiChatClientDialect.Comment);
                break;
            case { Choice: not 0 }:
                break;
            case ChatEvent.Started first:
                started ??= first;
                Begin(output);
                break;
            case ChatEvent.Token { Text.Length: > 0 } token:
                WriteToken(token, output);
                break;
            case ChatEvent.ToolCall call:
                WriteCall(call, output);
                break;
            case ChatEvent.BlockEnded:
                if (growing is { Kind: ResponseItemKind.Message }) ClosePart(growing, output);
                else if (growing is not null) Close(growing, output);
                break;
            case ChatEvent.Finished finished:
                reason = finished.Reason;
                break;
        }
    }

    public override void End(IBufferWriter<byte> output)
    {
        if (over) return;
        over = true;
        json ??= WireJson.NewWriter(output);
        Begin(output);
        // the model made these calls, so the client has to see them
        foreach (var call in nameless) WriteArguments(AnnounceCall(call.ToPiece(0), output), call.ToPiece(0), output);
        var end = ResponseEnd.Of(reason);
        foreach (var item in items) Close(item, output, item == items[^1] && !item.Closed && end.IncompleteReason is not null ? "incomplete" : "completed");
        WriteResponse($"response.{end.Status}", end, output);
    }

    private void Fail(ProxyError error, IBufferWriter<byte> output)
    {
        over = true;
        BeginFrame("error", output);
        OpenAiResponsesErrors.WriteEvent(json!, error, sequence++);
        EndFrame(output);
        WriteResponse("response.failed", new("failed", Error: error), output);
    }

    private void Begin(IBufferWriter<byte> output)
    {
        if (begun) return;
        begun = true;
        WriteResponse("response.created", ResponseEnd.Running, output);
        WriteResponse("response.in_progress", ResponseEnd.Running, output);
        if (stamp.Search is { } search) WriteSearch(ResponseItem.OfSearch(stamp, search, note.Sources, items.Count), output);
    }

    /// <summary>Writes the search that was made before the model was asked, with OpenAI's events in their order.</summary>
    private void WriteSearch(ResponseItem item, IBufferWriter<byte> output)
    {
        Announce(item, output);
        foreach (var type in (ReadOnlySpan<string>)
            ["response.file_search_call.in_progress", "response.file_search_call.searching", "response.file_search_call.completed"])
        {
            BeginFrame(type, output);
            WritePlace(type, item);
            EndObject(output);
        }

        item.Closed = true;
        WriteItem("response.output_item.done", item, "completed", empty: false, output);
    }

    private void WriteToken(ChatEvent.Token token, IBufferWriter<byte> output)
    {
        Begin(output);
        var kind = token.Kind switch { TokenKind.Reasoning => echo.ReasoningPart, TokenKind.Refusal => ResponsePartKind.Refusal, _ => ResponsePartKind.Text };
        var itemKind = token.Kind is TokenKind.Reasoning ? ResponseItemKind.Reasoning : ResponseItemKind.Message;
        if (growing is null || growing.Kind != itemKind) growing = Open(itemKind, itemKind is ResponseItemKind.Message ? "msg" : "rs", output);
        var part = growing.Parts.Count > 0 && growing.Parts[^1] is { Closed: false } open && open.Kind == kind
            ? growing.Parts[^1]
            : OpenPart(growing, kind, output);
        part.Add(token.Text);
        output.Write(deltaHead.WrittenSpan);
        json!.Reset(output);
        json.WriteStringValue(token.Text);
        json.Flush();
        if (kind is ResponsePartKind.Text)
        {
            if (ResponsePart.ProbabilitiesOf(token) is [var some] probabilities)
            {
                part.LogProbabilities.Add(some);
                output.Write(","u8);
                WriteBare(probabilities, output);
            }
            else
            {
                output.Write(",\"logprobs\":[]"u8);
            }
        }

        output.Write(",\"sequence_number\":"u8);
        WriteNumber(sequence++, output);
        output.Write("}\n\n"u8);
    }

    private void WriteCall(ChatEvent.ToolCall piece, IBufferWriter<byte> output)
    {
        Begin(output);
        var item = items.Find(known => known.IsCall && known.CallIndex == piece.Index);
        if (item is null)
        {
            if (nameless.Count > 0 || piece.Name is not { Length: > 0 })
            {
                // An item is announced with its call's name, so the pieces wait until the name has arrived.
                var call = WholeToolCall.Add(nameless, piece);
                if (!call.IsNamed) return;
                nameless.Remove(call);
                piece = call.ToPiece(0);
            }

            item = AnnounceCall(piece, output);
        }

        growing = item;
        WriteArguments(item, piece, output);
    }

    private ResponseItem AnnounceCall(ChatEvent.ToolCall call, IBufferWriter<byte> output)
    {
        if (growing is { IsCall: false }) Close(growing, output);
        var item = ResponseItem.OfCall(stamp, items.Count, call.Index, call.Id, call.Name);
        Announce(item, output);
        return item;
    }

    private void WriteArguments(ResponseItem item, ChatEvent.ToolCall piece, IBufferWriter<byte> output)
    {
        if (string.IsNullOrEmpty(piece.Arguments) || item.Closed) return;
        WriteInput(item, item.AddArguments(piece.Arguments), output);
    }

    private void WriteInput(ResponseItem item, string? added, IBufferWriter<byte> output)
    {
        if (string.IsNullOrEmpty(added)) return;
        var type = item.Kind is ResponseItemKind.CustomToolCall ? "response.custom_tool_call_input.delta" : "response.function_call_arguments.delta";
        BeginFrame(type, output);
        WritePlace(type, item);
        json!.WriteString("delta"u8, added);
        EndObject(output);
    }

    private ResponseItem Open(ResponseItemKind kind, string prefix, IBufferWriter<byte> output)
    {
        if (growing is { IsCall: false }) Close(growing, output);
        var item = new ResponseItem(kind, items.Count, IdOf(prefix));
        Announce(item, output);
        return item;
    }

    private void Announce(ResponseItem item, IBufferWriter<byte> output)
    {
        items.Add(item);
        WriteItem("response.output_item.added", item, "in_progress", empty: true, output);
    }

    private ResponsePart OpenPart(ResponseItem item, ResponsePartKind kind, IBufferWriter<byte> output)
    {
        ClosePart(item, output);
        var part = new ResponsePart(kind);
        item.Parts.Add(part);
        WritePart(kind is ResponsePartKind.ReasoningSummary ? "response.reasoning_summary_part.added" : "response.content_part.added", item, part, empty: true,
            output);
        var type = kind switch
        {
            ResponsePartKind.Text => "response.output_text.delta",
            ResponsePartKind.Refusal => "response.refusal.delta",
            ResponsePartKind.ReasoningText => "response.reasoning_text.delta",
            _ => "response.reasoning_summary_text.delta",
        };
        deltaHead.Clear();
        BeginFrame(type, deltaHead);
        WritePartPlace(type, item, part);
        json!.Flush();
        deltaHead.Write(",\"delta\":"u8);
        return part;
    }

    private void ClosePart(ResponseItem item, IBufferWriter<byte> output)
    {
        if (item.Parts.Count == 0 || item.Parts[^1] is not { Closed: false } part) return;
        part.Closed = true;
        if (part.Kind is ResponsePartKind.Text && stamp.Search is not null) WriteCitations(item, part, output);
        var (type, member) = part.Kind switch
        {
            ResponsePartKind.Text => ("response.output_text.done", "text"),
            ResponsePartKind.Refusal => ("response.refusal.done", "refusal"),
            ResponsePartKind.ReasoningText => ("response.reasoning_text.done", "text"),
            _ => ("response.reasoning_summary_text.done", "text"),
        };
        BeginFrame(type, output);
        WritePartPlace(type, item, part);
        json!.WriteString(member, part.Text);
        if (part.Kind is ResponsePartKind.Text) ResponsePart.WriteProbabilities(json, part.LogProbabilities);
        EndObject(output);
        WritePart(part.Kind is ResponsePartKind.ReasoningSummary ? "response.reasoning_summary_part.done" : "response.content_part.done", item, part,
            empty: false, output);
    }

    private void WriteCitations(ResponseItem item, ResponsePart part, IBufferWriter<byte> output)
    {
        part.Citations = FileCitation.Of(part.Text, note.Sources);
        for (var i = 0; i < part.Citations.Count; i++)
        {
            BeginFrame("response.output_text.annotation.added", output);
            WritePartPlace("response.output_text.annotation.added", item, part);
            json!.WriteNumber("annotation_index"u8, i);
            json.WritePropertyName("annotation"u8);
            part.Citations[i].Write(json);
            EndObject(output);
        }
    }

    private void Close(ResponseItem item, IBufferWriter<byte> output, string status = "completed")
    {
        if (item.Closed) return;
        ClosePart(item, output);
        item.Closed = true;
        if (growing == item) growing = null;
        if (item.IsCall)
        {
            WriteInput(item, item.EndArguments(), output);
            var custom = item.Kind is ResponseItemKind.CustomToolCall;
            var type = custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done";
            BeginFrame(type, output);
            WritePlace(type, item);
            if (!custom) json!.WriteString("name"u8, item.Name);
            json!.WriteString(custom ? "input"u8 : "arguments"u8, item.Arguments);
            EndObject(output);
        }

        WriteItem("response.output_item.done", item, status, empty: false, output);
    }

    private void WriteResponse(string type, ResponseEnd end, IBufferWriter<byte> output)
    {
        BeginFrame(type, output);
        json!.WriteStartObject();
        json.WriteString("type"u8, type);
        json.WritePropertyName("response"u8);
        echo.Write(json, started, end, items, usage, note);
        EndObject(output);
    }

    private void WriteItem(string type, ResponseItem item, string status, bool empty, IBufferWriter<byte> output)
    {
        BeginFrame(type, output);
        json!.WriteStartObject();
        json.WriteString("type"u8, type);
        json.WriteNumber("output_index"u8, item.Index);
        json.WritePropertyName("item"u8);
        item.Write(json, status, empty, echo);
        EndObject(output);
    }

    private void WritePart(string type, ResponseItem item, ResponsePart part, bool empty, IBufferWriter<byte> output)
    {
        BeginFrame(type, output);
        WritePartPlace(type, item, part);
        json!.WritePropertyName("part"u8);
        part.Write(json, empty);
        EndObject(output);
    }

    private void WritePartPlace(string type, ResponseItem item, ResponsePart part)
    {
        WritePlace(type, item);
        json!.WriteNumber(part.Kind is ResponsePartKind.ReasoningSummary ? "summary_index"u8 : "content_index"u8, item.Parts.IndexOf(part));
    }

    private void WritePlace(string type, ResponseItem item)
    {
        json!.WriteStartObject();
        json.WriteString("type"u8, type);
        json.WriteString("item_id"u8, item.Id);
        json.WriteNumber("output_index"u8, item.Index);
    }

    private void BeginFrame(string type, IBufferWriter<byte> output)
    {
        output.Write("event: "u8);
        Encoding.UTF8.GetBytes(type, output);
        output.Write("\ndata: "u8);
        json!.Reset(output);
    }

    private void EndObject(IBufferWriter<byte> output)
    {
        json!.WriteNumber("sequence_number"u8, sequence++);
        json.WriteEndObject();
        EndFrame(output);
    }

    private void EndFrame(IBufferWriter<byte> output)
    {
        json!.Flush();
        output.Write("\n\n"u8);
    }

    private void WriteBare(IReadOnlyList<JsonElement> probabilities, IBufferWriter<byte> output)
    {
        output.Write("\"logprobs\":"u8);
        json!.Reset(output);
        json.WriteStartArray();
        foreach (var piece in probabilities)
        {
            if (!piece.TryGetProperty("content"u8, out var list) || list.ValueKind is not JsonValueKind.Array) continue;
            foreach (var token in list.EnumerateArray()) json.WriteAsItCame(token);
        }

        json.WriteEndArray();
        json.Flush();
    }

    private static void WriteNumber(int number, IBufferWriter<byte> output)
    {
        var digits = output.GetSpan(11);
        _ = System.Buffers.Text.Utf8Formatter.TryFormat(number, digits, out var written);
        output.Advance(written);
    }

    private string IdOf(string prefix) => OpenAiResponsesJson.ItemId(prefix, stamp, items.Count);
}
