using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Writes the chunks of a chat completion. The JSON that all chunks share is composed once, so that a token costs only its own text.</summary>
internal sealed class OpenAiChatEventWriter(ReplyStamp stamp) : EventWriter
{
    private readonly OpenAiChunks chunks = new(stamp, "chat.completion.chunk", IdOf);
    private readonly List<Choice> choices = [];

    private Utf8JsonWriter Json => chunks.Json;

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (chunks.TryWrite(happened, output)) return;
        switch (happened)
        {
            case ChatEvent.RoleGiven:
                if (ChoiceOf(happened.Choice).RoleWritten) break;
                BeginDelta(happened.Choice, output);
                Json.WriteString("content"u8, ""u8);
                EndDelta(output);
                break;
            case ChatEvent.Token token:
                BeginDelta(happened.Choice, output);
                WriteToken(token);
                EndDelta(output, token.Opaque.Member("logprobs"u8));
                break;
            case ChatEvent.ToolCall call:
                if (Sayable(call) is not { } piece) break;
                BeginDelta(happened.Choice, output);
                WriteCall(piece);
                EndDelta(output);
                break;
            case ChatEvent.Finished finished:
                WriteNameless(happened.Choice, output);
                var reason = finished.Reason is FinishReason.Stop && ChoiceOf(happened.Choice).Calls.Count > 0 ? FinishReason.ToolCalls : finished.Reason;
                BeginChunk(happened.Choice, output);
                output.Write("{},\"logprobs\":null,\"finish_reason\":\""u8);
                output.Write(OpenAiChatJson.Word(reason));
                output.Write("\"}]"u8);
                chunks.EndLast(output);
                break;
        }
    }

    public override void End(IBufferWriter<byte> output) => chunks.EndStream(output);

    /// <summary>The answer's id if the host gave none.</summary>
    public static string IdOf(ReplyStamp stamp) => $"chatcmpl-{stamp.TraceId}";

    /// <summary>The id of a call to which the host gave none. Always the same for the same answer, choice and index.</summary>
    public static string CallIdOf(ReplyStamp stamp, int choice, int index) =>
        string.Create(CultureInfo.InvariantCulture, $"call_{stamp.TraceId}{choice}{index}");

    private void BeginChunk(int choice, IBufferWriter<byte> output)
    {
        chunks.Begin(output);
        output.Write("{\"index\":"u8);
        var digits = output.GetSpan(11);
        _ = Utf8Formatter.TryFormat(choice, digits, out var written);
        output.Advance(written);
        output.Write(",\"delta\":"u8);
    }

    private void BeginDelta(int number, IBufferWriter<byte> output)
    {
        BeginChunk(number, output);
        var choice = ChoiceOf(number);
        Json.Reset(output);
        Json.WriteStartObject();
        if (choice.RoleWritten) return;
        choice.RoleWritten = true;
        Json.WriteString("role"u8, "assistant"u8);
    }

    private void WriteToken(ChatEvent.Token token)
    {
        switch (token.Kind)
        {
            case TokenKind.Reasoning: // some clients read one name, some the other
                Json.WriteString("reasoning_content"u8, token.Text);
                Json.WriteString("reasoning"u8, token.Text);
                break;
            case TokenKind.Refusal:
                Json.WriteString("refusal"u8, token.Text);
                break;
            default:
                Json.WriteString("content"u8, token.Text);
                break;
        }
    }

    /// <summary>Returns the piece, together with all earlier pieces that arrived before the call's name. Null while the name is not known.</summary>
    private ChatEvent.ToolCall? Sayable(ChatEvent.ToolCall piece)
    {
        var choice = ChoiceOf(piece.Choice);
        if (choice.Calls.Contains(piece.Index) || (choice.Nameless.Count == 0 && piece.Name is { Length: > 0 })) return piece;
        var call = WholeToolCall.Add(choice.Nameless, piece);
        if (!call.IsNamed) return null;
        choice.Nameless.Remove(call);
        return call.ToPiece(piece.Choice);
    }

    /// <summary>Writes the calls that never received a name. The model made them, so the client has to see them.</summary>
    private void WriteNameless(int choice, IBufferWriter<byte> output)
    {
        foreach (var call in ChoiceOf(choice).Nameless)
        {
            BeginDelta(choice, output);
            WriteCall(call.ToPiece(choice));
            EndDelta(output);
        }
    }

    private void WriteCall(ChatEvent.ToolCall call)
    {
        var known = ChoiceOf(call.Choice).Calls;
        Json.WriteStartArray("tool_calls"u8);
        Json.WriteStartObject();
        Json.WriteNumber("index"u8, call.Index);
        if (!known.Contains(call.Index))
        {
            known.Add(call.Index);
            Json.WriteString("id"u8, call.Id ?? CallIdOf(stamp, call.Choice, call.Index));
            Json.WriteString("type"u8, "function"u8);
            Json.WriteStartObject("function"u8);
            Json.WriteString("name"u8, call.Name ?? "");
        }
        else
        {
            Json.WriteStartObject("function"u8);
        }

        Json.WriteString("arguments"u8, call.Arguments ?? "");
        Json.WriteEndObject();
        Json.WriteEndObject();
        Json.WriteEndArray();
    }

    private void EndDelta(IBufferWriter<byte> output, JsonElement? probabilities = null)
    {
        Json.WriteEndObject();
        Json.Flush();
        output.Write(",\"logprobs\":"u8);
        if (probabilities is { } some)
        {
            Json.Reset(output);
            Json.WriteAsItCame(some);
            Json.Flush();
        }
        else
        {
            output.Write("null"u8);
        }

        output.Write(",\"finish_reason\":null}]"u8);
        chunks.End(output);
    }

    private Choice ChoiceOf(int number)
    {
        foreach (var known in choices)
        {
            if (known.Number == number) return known;
        }

        var added = new Choice(number);
        choices.Add(added);
        return added;
    }

    private sealed class Choice(int number)
    {
        public int Number => number;
        public bool RoleWritten { get; set; }
        public List<int> Calls { get; } = [];

        /// <summary>Calls whose name has not arrived yet.</summary>
        public List<WholeToolCall> Nameless { get; } = [];
    }
}
