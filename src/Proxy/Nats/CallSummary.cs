using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects.Events;
using Proxy.Telemetry;

namespace Proxy.Nats;

/// <summary>What the message of a finished call says about it, without its texts. Members that are null are left out.</summary>
internal sealed record CallSummary
{
    public required string TraceId { get; init; }
    public required string? RequestId { get; init; }

    /// <summary>The correlation id that the client sent. A sensor that sends its message's trace id along recognises its own calls by it.</summary>
    public required string? Parent { get; init; }
    public required string? Session { get; init; }
    public required string Owner { get; init; }
    public required string Surface { get; init; }

    /// <summary>The model as the client named it.</summary>
    public required string? Model { get; init; }

    /// <summary>The model's name at the host that answered.</summary>
    public required string? Served { get; init; }

    /// <summary>The model whose answer the client got, if a workflow asked several; else as <see cref="Served"/>.</summary>
    public required string? Winner { get; init; }
    public required string? Backend { get; init; }
    public required string? Route { get; init; }
    public required string? Workspace { get; init; }
    public required string? Pipeline { get; init; }
    public required bool Stream { get; init; }
    public required int? MessageCount { get; init; }
    public required Usage? Usage { get; init; }
    public required DateTimeOffset Started { get; init; }
    public required TimeSpan? FirstToken { get; init; }
    public required TimeSpan Duration { get; init; }
    public required CallOutcome Outcome { get; init; }
    public required FinishReason Reason { get; init; }

    /// <summary>The error's code. Its message is in the event <c>finished</c>.</summary>
    public required string? Error { get; init; }

    /// <summary>Writes the members into an object that is open.</summary>
    public void Write(Utf8JsonWriter json)
    {
        json.WriteString("trace_id"u8, TraceId);
        Optional(json, "request_id"u8, RequestId);
        Optional(json, "parent"u8, Parent);
        Optional(json, "session"u8, Session);
        json.WriteString("owner"u8, Owner);
        json.WriteString("surface"u8, Surface);
        Optional(json, "model"u8, Model);
        Optional(json, "served"u8, Served);
        Optional(json, "winner"u8, Winner);
        Optional(json, "backend"u8, Backend);
        Optional(json, "route"u8, Route);
        Optional(json, "workspace"u8, Workspace);
        Optional(json, "pipeline"u8, Pipeline);
        json.WriteBoolean("stream"u8, Stream);
        if (MessageCount is { } count) json.WriteNumber("message_count"u8, count);
        if (Usage is { } usage)
        {
            json.WriteStartObject("usage"u8);
            EventSchemaWriter.WriteUsage(json, usage);
            json.WriteEndObject();
        }

        json.WriteString("started"u8, Started.UtcDateTime);
        if (FirstToken is { } first) json.WriteNumber("first_token_ms"u8, Math.Round(first.TotalMilliseconds, 2));
        json.WriteNumber("duration_ms"u8, Math.Round(Duration.TotalMilliseconds, 2));
        json.WriteString("outcome"u8, CallLedger.Name(Outcome));
        json.WriteString("reason"u8, EventSchemaJson.Word(Reason));
        Optional(json, "error"u8, Error);
    }

    private static void Optional(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null) json.WriteString(name, value);
    }
}
