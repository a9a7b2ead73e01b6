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
    public void WriteObject(ChatEvent happened, IBufferWriter<byte> output)
    {
        json ??= WireJson.NewWriter(output);
        json.Reset(output);
        json.WriteStartObject();
        switch (happened)
        {
            case ChatEvent.Started started:
                json.WriteString("type"u8, "started"u8);
                json.WriteSome("id"u8, started.Id);
                json.WriteSome("model"u8, started.Model);
                json.WriteSome("created"u8, started.Created);
                break;
            case ChatEvent.RoleGiven given:
                json.WriteString("type"u8, "role"u8);
                json.WriteString("role"u8, EventSchemaJson.Word(given.Role));
                break;
            case ChatEvent.Token token:
                json.WriteString("type"u8, "token"u8);
                json.WriteString("text"u8, token.Text);
                if (token.Kind is not TokenKind.Answer) json.WriteString("kind"u8, EventSchemaJson.Word(token.Kind));
                break;
            case ChatEvent.ToolCall call:
                json.WriteString("type"u8, "tool_call"u8);
                json.WriteNumber("index"u8, call.Index);
                json.WriteSome("id"u8, call.Id);
                json.WriteSome("name"u8, call.Name);
                json.WriteSome("arguments"u8, call.Arguments);
                break;
            case ChatEvent.BlockEnded:
                json.WriteString("type"u8, "block_end"u8);
                break;
            case ChatEvent.UsageReported reported:
                json.WriteString("type"u8, "usage"u8);
                WriteUsage(json, reported.Usage);
                break;
            case ChatEvent.SourcesFound found:
                json.WriteString("type"u8, "sources"u8);
                ProxyNote.WriteSources(json, found.Sources);
                break;
            case ChatEvent.Finished finished:
                json.WriteString("type"u8, "finished"u8);
                json.WriteString("reason"u8, EventSchemaJson.Word(finished.Reason));
                json.WriteSome("winner"u8, finished.Winner);
                if (finished.Error is { } error) WriteError(json, error);
                break;
        }

        if (happened.Choice != 0) json.WriteNumber("choice"u8, happened.Choice);
        if (happened.Origin is { } origin) WriteOrigin(json, origin);
        json.WriteSome("opaque"u8, happened.Opaque);
        json.WriteEndObject();
        json.Flush();
    }

    private static void WriteOrigin(Utf8JsonWriter json, EventOrigin origin)
    {
        json.WriteSome("task"u8, origin.Task);
        json.WriteSome("model"u8, origin.Model);
        json.WriteSome("seq"u8, origin.Seq);
    }

    private static void WriteUsage(Utf8JsonWriter json, Usage usage)
    {
        json.WriteNumber("input_tokens"u8, usage.InputTokens);
        json.WriteNumber("output_tokens"u8, usage.OutputTokens);
        json.WriteSome("cached_input_tokens"u8, usage.CachedInputTokens);
        json.WriteSome("cache_written_tokens"u8, usage.CacheWrittenTokens);
        json.WriteSome("reasoning_tokens"u8, usage.ReasoningTokens);
        json.WriteSome("total_duration"u8, usage.TotalDuration);
        json.WriteSome("load_duration"u8, usage.LoadDuration);
        json.WriteSome("prompt_eval_duration"u8, usage.PromptEvalDuration);
        json.WriteSome("eval_duration"u8, usage.EvalDuration);
    }

    private static void WriteError(Utf8JsonWriter json, ProxyError error)
    {
        json.WriteStartObject("error"u8);
        json.WriteString("kind"u8, ProxyErrorTable.Of(error.Kind).Code);
        json.WriteString("message"u8, error.Message);
        json.WriteSome("type"u8, error.HostType);
        json.WriteSome("code"u8, error.Code);
        json.WriteSome("param"u8, error.Param);
        json.WriteNumber("status"u8, error.Status);
        json.WriteEndObject();
    }
}
