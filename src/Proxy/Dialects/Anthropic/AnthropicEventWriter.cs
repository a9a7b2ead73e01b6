using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Writes the events of a message. Anthropic allows only one open block at a time. A call or a text whose pieces arrive while another call is being written
/// waits until that call's arguments are complete; a call also waits for its name. Choices other than the first are dropped: a message has room for one.
/// </summary>
internal sealed class AnthropicEventWriter(ReplyStamp stamp) : EventWriter
{
    private readonly List<Call> calls = [];
    private readonly List<ChatEvent.Token> waiting = [];
    private Utf8JsonWriter? json;
    private Usage? usage;
    private ProxyNote note = new(stamp);
    private ChatEvent.Finished? finish;
    private OpenBlock open;
    private Call? speaking;
    private int block;
    private bool started, failed;

    private enum OpenBlock
    {
        None,
        Text,
        Thinking,
        Call,
    }

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        note.See(happened);
        if (failed || (happened.Choice != 0 && happened is not ChatEvent.UsageReported)) return;
        json ??= WireJson.NewWriter(output);
        switch (happened)
        {
            case ChatEvent.Started begun:
                Start(begun, output);
                break;
            case ChatEvent.RoleGiven:
                Start(null, output);
                break;
            case ChatEvent.Token { Text.Length: > 0 } token:
                WriteToken(token, output);
                break;
            case ChatEvent.ToolCall piece:
                WriteCall(piece, output);
                break;
            case ChatEvent.BlockEnded ended:
                EndBlock(ended.Opaque, output);
                break;
            case ChatEvent.UsageReported reported:
                usage = reported.Usage;
                break;
            case ChatEvent.Finished { Error: { } error }:
                failed = true;
                AnthropicErrors.WriteToStream(error, stamp.TraceId, output);
                break;
            case ChatEvent.Finished finished:
                finish = finished;
                break;
            case ChatEvent.Quiet:
                output.Write(AnthropicClientDialect.Ping);
                break;
        }
    }

    public override void End(IBufferWriter<byte> output)
    {
        if (failed) return;
        json ??= WireJson.NewWriter(output);
        Start(null, output);
        Stop(output);
        WriteWaiting(output);
        Stop(output);
        foreach (var call in calls.Where(static call => !call.Begun))
        {
            Begin(call, output);
            Stop(output);
        }

        Event("message_delta"u8, output);
        json.WriteStartObject("delta"u8);
        var reason = finish?.Reason ?? FinishReason.Stop;
        AnthropicJson.WriteStop(json, reason is FinishReason.Stop && calls.Count > 0 ? FinishReason.ToolCalls : reason, finish?.Opaque);
        json.WriteEndObject();
        AnthropicJson.WriteUsage(json, usage);
        EndEvent(output);
        Event("message_stop"u8, output);
        note.Write(json);
        EndEvent(output);
    }

    private void Start(ChatEvent.Started? begun, IBufferWriter<byte> output)
    {
        if (started) return;
        started = true;
        Event("message_start"u8, output);
        json!.WriteStartObject("message"u8);
        json.WriteString("id"u8, begun?.Id ?? AnthropicJson.IdOf(stamp));
        json.WriteString("type"u8, "message"u8);
        json.WriteString("role"u8, "assistant"u8);
        json.WriteString("model"u8, stamp.Model);
        json.WriteStartArray("content"u8);
        json.WriteEndArray();
        json.WriteNull("stop_reason"u8);
        json.WriteNull("stop_sequence"u8);
        AnthropicJson.WriteUsage(json, null); // zeros: the counts are not known yet and follow in message_delta
        json.WriteEndObject();
        EndEvent(output);
    }

    private void WriteToken(ChatEvent.Token token, IBufferWriter<byte> output)
    {
        if (speaking is { Progress: { Begun: true, Whole: false } })
        {
            waiting.Add(token);
            return;
        }

        var kind = token.Kind is TokenKind.Reasoning ? OpenBlock.Thinking : OpenBlock.Text; // a refusal is written as text
        if (open != kind) Open(kind, output);
        BeginDelta(output);
        if (kind is OpenBlock.Thinking)
        {
            json!.WriteString("type"u8, "thinking_delta"u8);
            json.WriteString("thinking"u8, token.Text);
        }
        else
        {
            json!.WriteString("type"u8, "text_delta"u8);
            json.WriteString("text"u8, token.Text);
        }

        EndDelta(output);
    }

    private void WriteCall(ChatEvent.ToolCall piece, IBufferWriter<byte> output)
    {
        var call = calls.Find(known => known.Index == piece.Index);
        if (call is null) calls.Add(call = new Call(piece.Index));
        call.Id ??= piece.Id;
        if (string.IsNullOrEmpty(call.Name)) call.Name = piece.Name;
        if (!call.Begun) call.Arguments.Append(piece.Arguments);
        call.Progress.Add(piece.Arguments);
        if (speaking == call)
        {
            WriteArguments(piece.Arguments, output);
            if (call.Progress.Whole) WriteWaiting(output);
            return;
        }

        // Hold the next call until the current one's arguments parse as a complete object and its own name is known. Calls that never get that far are written
        // at the end of the answer.
        if (call.Begun || string.IsNullOrEmpty(call.Name) || speaking is { Progress.Whole: false }) return;
        Begin(call, output);
    }

    /// <summary>Writes the texts that arrived while a call's arguments were still incomplete.</summary>
    private void WriteWaiting(IBufferWriter<byte> output)
    {
        if (waiting.Count == 0) return;
        ChatEvent.Token[] tokens = [.. waiting];
        waiting.Clear();
        foreach (var token in tokens) WriteToken(token, output);
    }

    private void Begin(Call call, IBufferWriter<byte> output)
    {
        Stop(output);
        call.Begun = true;
        speaking = call;
        open = OpenBlock.Call;
        BeginBlock(output);
        json!.WriteString("type"u8, "tool_use"u8);
        json.WriteString("id"u8, AnthropicCallId.Safe(call.Id ?? AnthropicJson.CallIdOf(stamp, call.Index)));
        json.WriteString("name"u8, call.Name ?? "");
        json.WriteStartObject("input"u8);
        json.WriteEndObject();
        AnthropicJson.WriteCaller(json);
        json.WriteEndObject();
        EndEvent(output);
        WriteArguments(call.Arguments.ToString(), output);
    }

    private void WriteArguments(string? arguments, IBufferWriter<byte> output)
    {
        if (string.IsNullOrEmpty(arguments)) return;
        BeginDelta(output);
        json!.WriteString("type"u8, "input_json_delta"u8);
        json.WriteString("partial_json"u8, arguments);
        EndDelta(output);
    }

    private void EndBlock(JsonElement? opaque, IBufferWriter<byte> output)
    {
        if (opaque.Member("redacted_thinking"u8) is { ValueKind: JsonValueKind.String } data)
        {
            Stop(output);
            Start(null, output);
            BeginBlock(output);
            json!.WriteString("type"u8, "redacted_thinking"u8);
            json.WriteAsItCame("data", data);
            json.WriteEndObject();
            EndEvent(output);
            CloseBlock(output);
            return;
        }

        if (opaque.Member("signature"u8) is { ValueKind: JsonValueKind.String } signature)
        {
            if (open is not OpenBlock.Thinking) Open(OpenBlock.Thinking, output); // the host withheld the text of this thought
            BeginDelta(output);
            json!.WriteString("type"u8, "signature_delta"u8);
            json.WriteAsItCame("signature", signature);
            EndDelta(output);
        }

        Stop(output);
    }

    private void Open(OpenBlock kind, IBufferWriter<byte> output)
    {
        Stop(output);
        Start(null, output);
        open = kind;
        BeginBlock(output);
        if (kind is OpenBlock.Thinking)
        {
            json!.WriteString("type"u8, "thinking"u8);
            json.WriteString("thinking"u8, ""u8);
            json.WriteString("signature"u8, ""u8);
        }
        else
        {
            json!.WriteString("type"u8, "text"u8);
            json.WriteString("text"u8, ""u8);
        }

        json.WriteEndObject();
        EndEvent(output);
    }

    /// <summary>Closes the open block, if there is one.</summary>
    private void Stop(IBufferWriter<byte> output)
    {
        if (open is OpenBlock.None) return;
        open = OpenBlock.None;
        speaking = null;
        CloseBlock(output);
    }

    private void BeginBlock(IBufferWriter<byte> output)
    {
        Start(null, output);
        Event("content_block_start"u8, output);
        json!.WriteNumber("index"u8, block);
        json.WriteStartObject("content_block"u8);
    }

    private void CloseBlock(IBufferWriter<byte> output)
    {
        Event("content_block_stop"u8, output);
        json!.WriteNumber("index"u8, block++);
        EndEvent(output);
    }

    /// <summary>By far the most frequent event, so its fixed beginning is copied instead of written with a JSON writer.</summary>
    private void BeginDelta(IBufferWriter<byte> output)
    {
        output.Write("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"u8);
        var digits = output.GetSpan(11);
        _ = Utf8Formatter.TryFormat(block, digits, out var written);
        output.Advance(written);
        output.Write(",\"delta\":"u8);
        json!.Reset(output);
        json.WriteStartObject();
    }

    private void EndDelta(IBufferWriter<byte> output)
    {
        json!.WriteEndObject();
        json.Flush();
        output.Write("}\n\n"u8);
    }

    private void Event(ReadOnlySpan<byte> name, IBufferWriter<byte> output)
    {
        output.Write("event: "u8);
        output.Write(name);
        output.Write("\ndata: "u8);
        json!.Reset(output);
        json.WriteStartObject();
        json.WriteString("type"u8, name);
    }

    private void EndEvent(IBufferWriter<byte> output)
    {
        json!.WriteEndObject();
        json.Flush();
        output.Write("\n\n"u8);
    }

    private sealed class Call(int index)
    {
        public ArgumentsProgress Progress;

        public int Index => index;
        public string? Id { get; set; }
        public string? Name { get; set; }

        /// <summary>The arguments that arrived before the call's block was started.</summary>
        public StringBuilder Arguments { get; } = new();
        public bool Begun { get; set; }
    }
}
