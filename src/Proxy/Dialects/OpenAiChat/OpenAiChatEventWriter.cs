using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Writes chunks of a chat completion. All that is the same in each chunk is made once; a token costs its own text.</summary>
internal sealed class OpenAiChatEventWriter(ReplyStamp stamp) : EventWriter
{
    private readonly ArrayBufferWriter<byte> head = new(256);
    private readonly List<Choice> choices = [];
    private Utf8JsonWriter? json;
    private Usage? usage;
    private bool failed;

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (failed) return;
        switch (happened)
        {
            case ChatEvent.Started started:
                MakeHead(started);
                break;
            case ChatEvent.RoleGiven:
                if (ChoiceOf(happened.Choice).RoleWritten) break;
                BeginDelta(happened.Choice, output);
                json!.WriteString("content"u8, ""u8);
                EndDelta(output);
                break;
            case ChatEvent.Token token:
                BeginDelta(happened.Choice, output);
                WriteToken(token);
                EndDelta(output, token.Opaque.Member("logprobs"u8));
                break;
            case ChatEvent.ToolCall call:
                BeginDelta(happened.Choice, output);
                WriteCall(call);
                EndDelta(output);
                break;
            case ChatEvent.UsageReported reported:
                usage = reported.Usage;
                break;
            case ChatEvent.Finished { Error: { } error }:
                failed = true;
                OpenAiChatErrors.WriteToStream(error, output);
                break;
            case ChatEvent.Finished finished:
                var reason = finished.Reason is FinishReason.Stop && ChoiceOf(happened.Choice).Calls.Count > 0 ? FinishReason.ToolCalls : finished.Reason;
                BeginChunk(happened.Choice, output);
                output.Write("{},\"logprobs\":null,\"finish_reason\":\""u8);
                output.Write(OpenAiChatJson.Word(reason));
                output.Write("\"}]"u8);
                EndChunk(output);
                break;
            case ChatEvent.Quiet:
                output.Write(OpenAiChatClientDialect.Comment);
                break;
        }
    }

    public override void End(IBufferWriter<byte> output)
    {
        if (failed) return;
        if (stamp.IncludeUsage && usage is not null)
        {
            WriteHead(output);
            output.Write("],\"usage\":"u8);
            json!.Reset(output);
            OpenAiChatJson.WriteUsage(json, usage);
            json.Flush();
            output.Write("}\n\n"u8);
        }

        output.Write("data: "u8);
        output.Write(OpenAiChatJson.Done);
        output.Write("\n\n"u8);
    }

    /// <summary>The answer's id where the host gave none.</summary>
    public static string IdOf(ReplyStamp stamp) => $"chatcmpl-{stamp.TraceId}";

    /// <summary>The id of a call whose host gave it none; the same whenever the same answer is written.</summary>
    public static string CallIdOf(ReplyStamp stamp, int choice, int index) => string.Create(CultureInfo.InvariantCulture, $"call_{stamp.TraceId}{choice}{index}");

    private void MakeHead(ChatEvent.Started? started)
    {
        head.Clear();
        head.Write("data: "u8);
        json ??= WireJson.NewWriter(head);
        json.Reset(head);
        json.WriteStartObject();
        json.WriteString("id"u8, started?.Id ?? IdOf(stamp));
        json.WriteString("object"u8, "chat.completion.chunk"u8);
        json.WriteNumber("created"u8, started?.Created ?? stamp.Created.ToUnixTimeSeconds());
        json.WriteString("model"u8, stamp.Model);
        if (started?.Opaque.Member("system_fingerprint"u8) is { } fingerprint) json.WriteAsItCame("system_fingerprint", fingerprint);
        json.WriteStartArray("choices"u8);
        json.Flush();
    }

    private void WriteHead(IBufferWriter<byte> output)
    {
        if (head.WrittenCount == 0) MakeHead(null);
        output.Write(head.WrittenSpan);
    }

    private void BeginChunk(int choice, IBufferWriter<byte> output)
    {
        WriteHead(output);
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
        json!.Reset(output);
        json.WriteStartObject();
        if (choice.RoleWritten) return;
        choice.RoleWritten = true;
        json.WriteString("role"u8, "assistant"u8);
    }

    private void WriteToken(ChatEvent.Token token)
    {
        switch (token.Kind)
        {
            case TokenKind.Reasoning: // clients look for either name
                json!.WriteString("reasoning_content"u8, token.Text);
                json.WriteString("reasoning"u8, token.Text);
                break;
            case TokenKind.Refusal:
                json!.WriteString("refusal"u8, token.Text);
                break;
            default:
                json!.WriteString("content"u8, token.Text);
                break;
        }
    }

    private void WriteCall(ChatEvent.ToolCall call)
    {
        var known = ChoiceOf(call.Choice).Calls;
        json!.WriteStartArray("tool_calls"u8);
        json.WriteStartObject();
        json.WriteNumber("index"u8, call.Index);
        if (!known.Contains(call.Index))
        {
            known.Add(call.Index);
            json.WriteString("id"u8, call.Id ?? CallIdOf(stamp, call.Choice, call.Index));
            json.WriteString("type"u8, "function"u8);
            json.WriteStartObject("function"u8);
            json.WriteString("name"u8, call.Name ?? "");
        }
        else
        {
            json.WriteStartObject("function"u8);
        }

        json.WriteString("arguments"u8, call.Arguments ?? "");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
    }

    private void EndDelta(IBufferWriter<byte> output, JsonElement? probabilities = null)
    {
        json!.WriteEndObject();
        json.Flush();
        output.Write(",\"logprobs\":"u8);
        if (probabilities is { } some)
        {
            json.Reset(output);
            json.WriteAsItCame(some);
            json.Flush();
        }
        else
        {
            output.Write("null"u8);
        }

        output.Write(",\"finish_reason\":null}]"u8);
        EndChunk(output);
    }

    private void EndChunk(IBufferWriter<byte> output) => output.Write(stamp.IncludeUsage ? ",\"usage\":null}\n\n"u8 : "}\n\n"u8);

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
    }
}
