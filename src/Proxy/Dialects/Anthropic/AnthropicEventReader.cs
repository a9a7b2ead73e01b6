using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Reads the events of a message. Usage and the stop reason are held back until <c>message_stop</c>, so that <see cref="ChatEvent.Finished"/> comes last.
/// Blocks that only Anthropic's servers produce (a web search and its results) are left out.
/// </summary>
internal sealed class AnthropicEventReader : ObjectEventReader
{
    private readonly List<Block> blocks = [];
    private Block? last;
    private Usage? usage;
    private FinishReason reason = FinishReason.Stop;
    private JsonElement? stop;
    private int calls;
    private bool started, stopped;

    public override bool End(List<ChatEvent> events, bool cleanly = true)
    {
        if (Over) return true;
        if (cleanly && stopped)
        {
            Release(events);
            return true;
        }

        foreach (var block in blocks) Flush(block, events);
        return false;
    }

    /// <summary>Reads a whole message. False if the body is not one.</summary>
    public bool ReadWhole(ReadOnlySpan<byte> body, List<ChatEvent> events)
    {
        var json = WireJson.Open(body);
        if (json.TokenType is not JsonTokenType.StartObject) return false;
        var list = ReadMessage(ref json, body, out var start, out var word, out var sequence);
        if (list.TokenType is not JsonTokenType.StartArray || json.Read()) return false;
        started = true;
        events.Add(start);
        events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
        for (var index = 0; list.Read() && list.TokenType is JsonTokenType.StartObject; index++)
        {
            OpenBlock(index, ref list, body, events);
            Close(index, events);
        }

        Stopped(word, sequence);
        Release(events);
        return true;
    }

    private Utf8JsonReader ReadMessage(ref Utf8JsonReader json, ReadOnlySpan<byte> body, out ChatEvent.Started start, out string? word,
        out ReadOnlySpan<byte> sequence)
    {
        string? id = null, model = null;
        Utf8JsonReader list = default;
        word = null;
        sequence = default;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("id"u8)) id = json.ReadText();
            else if (json.ValueTextEquals("model"u8)) model = json.ReadText();
            else if (json.ValueTextEquals("content"u8)) json.ReadLater(JsonTokenType.StartArray, ref list);
            else if (json.ValueTextEquals("stop_reason"u8)) word = json.ReadText();
            else if (json.ValueTextEquals("stop_sequence"u8)) sequence = json.ReadRaw(body, JsonTokenType.String);
            else if (json.ValueTextEquals("usage"u8)) usage = AnthropicJson.ReadUsage(ref json);
            else json.Skip();
        }

        start = new ChatEvent.Started(id, model, null);
        return list;
    }

    protected override void ReadObject(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? type = null;
        var index = 0;
        Utf8JsonReader inside = default;
        var has = false;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8))
            {
                type = json.ReadText();
            }
            else if (json.ValueTextEquals("index"u8))
            {
                index = json.ReadInt() ?? index;
            }
            else if (json.ValueTextEquals("message"u8) || json.ValueTextEquals("content_block"u8) || json.ValueTextEquals("delta"u8))
            {
                has = json.ReadLater(JsonTokenType.StartObject, ref inside);
            }
            else if (json.ValueTextEquals("usage"u8))
            {
                if (AnthropicJson.ReadUsage(ref json) is { } counted) usage = counted.After(usage);
            }
            else if (!json.ValueTextEquals("error"u8))
            {
                json.Skip();
            }
            else if (json.Read() && json.TokenType is not JsonTokenType.Null)
            {
                Fail(HostErrorBody.Read(frame), events);
                return;
            }
        }

        switch (type)
        {
            case "message_start" when has: ReadStart(ref inside, frame, events); break;
            case "content_block_start" when has: OpenBlock(index, ref inside, frame, events); break;
            case "content_block_delta" when has: ReadDelta(index, ref inside, events); break;
            case "content_block_stop": Close(index, events); break;
            case "message_delta" when has: ReadStop(ref inside, frame); break;
            case "message_stop": Release(events); break;
            case "error": Fail(HostErrorBody.Read(frame), events); break;
        }
    }

    private void ReadStart(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (started) return;
        started = true;
        ReadMessage(ref json, frame, out var start, out _, out _);
        events.Add(start);
        events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
    }

    private void OpenBlock(int index, ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? id = null, name = null, type = null, data = null;
        Utf8JsonReader said = default, signed = default;
        ReadOnlySpan<byte> input = default;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8)) type = json.ReadText();
            else if (json.ValueTextEquals("id"u8)) id = json.ReadText();
            else if (json.ValueTextEquals("name"u8)) name = json.ReadText();
            else if (json.ValueTextEquals("data"u8)) data = json.ReadText();
            else if (json.ValueTextEquals("text"u8) || json.ValueTextEquals("thinking"u8)) json.ReadLater(JsonTokenType.String, ref said);
            else if (json.ValueTextEquals("signature"u8)) json.ReadLater(JsonTokenType.String, ref signed);
            else if (json.ValueTextEquals("input"u8)) input = json.ReadRaw(frame, JsonTokenType.StartObject);
            else json.Skip();
        }

        var block = new Block(index, type switch
        {
            "text" => BlockKind.Text,
            "thinking" => BlockKind.Thinking,
            "redacted_thinking" => BlockKind.Redacted,
            "tool_use" => BlockKind.Call,
            _ => BlockKind.Foreign
        });
        blocks.RemoveAll(known => known.Index == index);
        Begin(block, events);
        switch (block.Kind)
        {
            case BlockKind.Text or BlockKind.Thinking:
                if (said.TokenType is JsonTokenType.String) Say(block, block.Pieces.Take(ref said), events);
                if (signed.TokenType is JsonTokenType.String) block.Sign(ref signed);
                break;
            case BlockKind.Redacted:
                events.Add(new ChatEvent.BlockEnded { Opaque = WireJson.Opaque("redacted_thinking"u8, data ?? "") });
                break;
            case BlockKind.Call:
                block.Call = calls++;
                // A host that does not stream its calls may send the complete arguments here. An empty object is the usual start of streamed arguments.
                block.HasArguments = !input.Trim("{} \r\n\t"u8).IsEmpty;
                events.Add(new ChatEvent.ToolCall(block.Call, id, name, block.HasArguments ? System.Text.Encoding.UTF8.GetString(input) : null));
                break;
        }
    }

    /// <summary>Adds a block. First writes the start of the message if it is missing, and the end of a preceding block of the same kind.</summary>
    private void Begin(Block block, List<ChatEvent> events)
    {
        if (!started)
        {
            started = true;
            events.Add(new ChatEvent.Started(null, null, null));
            events.Add(new ChatEvent.RoleGiven(ChatRole.Assistant));
        }

        // Without an end between them, two neighbouring text blocks (or two thinking blocks) would be read as one.
        if (last is { } before && before.Kind == block.Kind && block.Kind is BlockKind.Text or BlockKind.Thinking && before.Signature is null)
            events.Add(new ChatEvent.BlockEnded());
        if (block.Kind is not BlockKind.Foreign) last = block;
        blocks.Add(block);
    }

    private void ReadDelta(int index, ref Utf8JsonReader json, List<ChatEvent> events)
    {
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            BlockKind? said = json.ValueTextEquals("text"u8) ? BlockKind.Text
                : json.ValueTextEquals("thinking"u8) ? BlockKind.Thinking
                : json.ValueTextEquals("partial_json"u8) ? BlockKind.Call
                : null;
            var signature = json.ValueTextEquals("signature"u8);
            json.Read();
            if (json.TokenType is JsonTokenType.String)
            {
                if (said is { } kind && BlockOf(index, kind, events) is { } block)
                {
                    if (kind is not BlockKind.Call) Say(block, block.Pieces.Take(ref json), events);
                    else if (block.Pieces.Take(ref json) is { Length: > 0 } piece) Argue(block, piece, events);
                }
                else if (signature)
                {
                    BlockOf(index, BlockKind.Thinking, events)?.Sign(ref json);
                }
            }

            json.Skip();
        }
    }

    private static void Argue(Block block, string piece, List<ChatEvent> events)
    {
        block.HasArguments = true;
        events.Add(new ChatEvent.ToolCall(block.Call, null, null, piece));
    }

    /// <summary>
    /// The block that a delta belongs to. If the host sent no start for that block, it is created here. Null if the block is one that is left out.
    /// </summary>
    private Block? BlockOf(int index, BlockKind kind, List<ChatEvent> events)
    {
        Block? other = null;
        for (var i = blocks.Count - 1; i >= 0; i--)
        {
            if (blocks[i].Index != index) continue;
            if (blocks[i].Kind == kind) return blocks[i];
            other ??= blocks[i];
        }

        if (other is { Kind: BlockKind.Foreign or BlockKind.Redacted } || (other is not null && kind is BlockKind.Call)) return null;
        var block = new Block(index, kind);
        Begin(block, events);
        if (kind is BlockKind.Call) block.Call = calls++;
        return block;
    }

    private void Close(int index, List<ChatEvent> events)
    {
        foreach (var block in blocks)
        {
            if (block.Index == index) Close(block, events);
        }
    }

    private static void Close(Block block, List<ChatEvent> events)
    {
        if (block.Closed) return;
        block.Closed = true;
        Flush(block, events);
        // "{}": an empty string is not valid JSON for other clients
        if (block is { Kind: BlockKind.Call, HasArguments: false }) Argue(block, "{}", events);
        if (block.Signature is { } signature) events.Add(new ChatEvent.BlockEnded { Opaque = WireJson.Opaque("signature"u8, signature) });
    }

    private void ReadStop(ref Utf8JsonReader json, ReadOnlySpan<byte> frame)
    {
        string? word = null;
        ReadOnlySpan<byte> sequence = default;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("stop_reason"u8)) word = json.ReadText();
            else if (json.ValueTextEquals("stop_sequence"u8)) sequence = json.ReadRaw(frame, JsonTokenType.String);
            else json.Skip();
        }

        Stopped(word, sequence);
    }

    private void Stopped(string? word, ReadOnlySpan<byte> sequence)
    {
        if (word is null) return;
        stopped = true;
        reason = AnthropicJson.Reason(word);
        if (!sequence.IsEmpty) stop = WireJson.Opaque("stop_sequence"u8, sequence);
        else if (word != AnthropicJson.Word(reason)) stop = WireJson.Opaque("stop_reason"u8, word);
    }

    private void Release(List<ChatEvent> events)
    {
        Over = true;
        foreach (var block in blocks) Close(block, events);
        if (usage is { InputTokens: > 0 } or { OutputTokens: > 0 }) events.Add(new ChatEvent.UsageReported(usage));
        // Some hosts say end_turn after a tool call, and their clients then never run the tool; others say tool_use without a call, and their clients wait for
        // one. Corrected in both directions.
        if (reason is FinishReason.Stop && calls > 0 && stop is null) reason = FinishReason.ToolCalls;
        else if (reason is FinishReason.ToolCalls && calls == 0) reason = FinishReason.Stop;
        events.Add(new ChatEvent.Finished(reason) { Opaque = stop });
    }

    private static void Flush(Block block, List<ChatEvent> events)
    {
        if (block.Pieces.Flush() is not { Length: > 0 } rest) return;
        if (block.Kind is BlockKind.Call) Argue(block, rest, events);
        else Say(block, rest, events);
    }

    private static void Say(Block block, string text, List<ChatEvent> events)
    {
        if (text.Length > 0 && block.Kind is BlockKind.Text or BlockKind.Thinking)
            events.Add(new ChatEvent.Token(text, block.Kind is BlockKind.Thinking ? TokenKind.Reasoning : TokenKind.Answer));
    }

    private enum BlockKind
    {
        Text,
        Thinking,
        Redacted,
        Call,
        Foreign,
    }

    private sealed class Block(int index, BlockKind kind)
    {
        public TextPieces Pieces;
        private TextPieces signed;

        public int Index => index;
        public BlockKind Kind => kind;

        /// <summary>The call's number, counted from 0 over the calls of this message.</summary>
        public int Call { get; set; }

        public bool HasArguments { get; set; }

        /// <summary>True once all events of the block have been emitted.</summary>
        public bool Closed { get; set; }

        public string? Signature { get; private set; }

        public void Sign(ref Utf8JsonReader json)
        {
            if (signed.Take(ref json) is { Length: > 0 } piece) Signature += piece;
        }
    }
}
