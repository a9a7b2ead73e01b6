using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Events;

/// <summary>Writes events as they are published: one JSON object on each line, default values left out.</summary>
internal sealed class EventSchemaWriter : EventWriter
{
    private Utf8JsonWriter? json;

    public override void Write(ChatEvent happened, IBufferWriter<byte> output)
    {
        if (happened is ChatEvent.Quiet or ChatEvent.Skipped) return;
        WriteObject(happened, output);
        output.Write("\n"u8);
    }

    public override void End(IBufferWriter<byte> output) { }

    /// <summary>Writes one event without the line break, for transports that send each event as a message.</summary>
    /// <param name="happened">The event.</param>
    /// <param name="output">Receives it.</param>
    /// <param name="seq">Its number, in place of the one that it came with; null: that one.</param>
    public void WriteObject(ChatEvent happened, IBufferWriter<byte> output, long? seq = null)
    {
        json ??= WireJson.NewWriter(output);
        json.Reset(output);
        json.WriteStartObject();
        json.WriteString("type"u8, Type(happened));
        switch (happened)
        {
            case ChatEvent.Started started:
                if (started.Id is { } id) json.WriteString("id"u8, id);
                if (started.Model is { } model) json.WriteString("model"u8, model);
                if (started.Created is { } created) json.WriteNumber("created"u8, created);
                break;
            case ChatEvent.RoleGiven given:
                json.WriteString("role"u8, EventSchemaJson.Word(given.Role));
                break;
            case ChatEvent.Token token:
                json.WriteString("text"u8, token.Text);
                if (token.Kind is not TokenKind.Answer) json.WriteString("kind"u8, EventSchemaJson.Word(token.Kind));
                break;
            case ChatEvent.ToolCall call:
                json.WriteNumber("index"u8, call.Index);
                if (call.Id is { } callId) json.WriteString("id"u8, callId);
                if (call.Name is { } name) json.WriteString("name"u8, name);
                if (call.Arguments is { } arguments) json.WriteString("arguments"u8, arguments);
                break;
            case ChatEvent.UsageReported reported:
                WriteUsage(json, reported.Usage);
                break;
            case ChatEvent.SourcesFound found:
                ProxyNote.WriteSources(json, found.Sources);
                break;
            case ChatEvent.Finished finished:
                json.WriteString("reason"u8, EventSchemaJson.Word(finished.Reason));
                if (finished.Winner is { } winner) json.WriteString("winner"u8, winner);
                if (finished.Error is { } error) WriteError(json, error);
                break;
        }

        if (happened.Choice != 0) json.WriteNumber("choice"u8, happened.Choice);
        if (happened.Origin is { } origin) WriteOrigin(json, origin);
        if ((seq ?? happened.Origin?.Seq) is { } number) json.WriteNumber("seq"u8, number);
        if (happened.Opaque is { } opaque) json.WriteAsItCame("opaque", opaque);
        json.WriteEndObject();
        json.Flush();
    }

    private static ReadOnlySpan<byte> Type(ChatEvent happened) => happened switch
    {
        ChatEvent.Started => "started"u8,
        ChatEvent.RoleGiven => "role"u8,
        ChatEvent.Token => "token"u8,
        ChatEvent.ToolCall => "tool_call"u8,
        ChatEvent.BlockEnded => "block_end"u8,
        ChatEvent.UsageReported => "usage"u8,
        ChatEvent.SourcesFound => "sources"u8,
        _ => "finished"u8,
    };

    private static void WriteOrigin(Utf8JsonWriter json, EventOrigin origin)
    {
        if (origin.Task is { } task) json.WriteString("task"u8, task);
        if (origin.Model is { } model) json.WriteString("model"u8, model);
    }

    /// <summary>Writes the members of token counts into an object that is open.</summary>
    public static void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteNumber("input_tokens"u8, usage.InputTokens);
        json.WriteNumber("output_tokens"u8, usage.OutputTokens);
        if (usage.CachedInputTokens is { } cached) json.WriteNumber("cached_input_tokens"u8, cached);
        if (usage.CacheWrittenTokens is { } written) json.WriteNumber("cache_written_tokens"u8, written);
        if (usage.ReasoningTokens is { } reasoning) json.WriteNumber("reasoning_tokens"u8, reasoning);
        if (usage.TotalDuration is { } total) json.WriteNumber("total_duration"u8, total);
        if (usage.LoadDuration is { } load) json.WriteNumber("load_duration"u8, load);
        if (usage.PromptEvalDuration is { } prompt) json.WriteNumber("prompt_eval_duration"u8, prompt);
        if (usage.EvalDuration is { } answer) json.WriteNumber("eval_duration"u8, answer);
    }

    private static void WriteError(Utf8JsonWriter json, ProxyError error)
    {
        json.WriteStartObject("error"u8);
        json.WriteString("kind"u8, ProxyErrorTable.Of(error.Kind).Code);
        json.WriteString("message"u8, error.Message);
        if (error.HostType is { } type) json.WriteString("type"u8, type);
        if (error.Code is { } code) json.WriteString("code"u8, code);
        if (error.Param is { } param) json.WriteString("param"u8, param);
        json.WriteNumber("status"u8, error.Status);
        json.WriteEndObject();
    }
}
