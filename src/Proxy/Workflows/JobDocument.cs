using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Workflows;

/// <summary>Where a job finds the proxy and the bus. Null: there is none.</summary>
/// <param name="BaseUrl">The base of OpenAI's API at this proxy, <c>http://HOST:PORT/v1</c>.</param>
/// <param name="Bus">What carries the job's events.</param>
internal readonly record struct JobPlaces(string? BaseUrl, IWorkflowBus? Bus);

/// <summary>Writes what a job is to do, as JSON: one object, whose schema is in docs/events.md. It never has a credential.</summary>
internal static class JobDocument
{
    /// <summary>The members of OpenAI's request that are not parameters of the model.</summary>
    private static readonly string[] NoParameters = ["model", "messages", "stream", "stream_options"];

    /// <summary>Writes the document.</summary>
    /// <param name="call">The call, whose request is parsed.</param>
    /// <param name="request">Its request.</param>
    /// <param name="deadline">When the job must have ended.</param>
    /// <param name="places">Where the job finds what it needs.</param>
    /// <param name="traceParent">W3C's trace context for the job.</param>
    /// <param name="output">Receives the document.</param>
    public static void Write(in RoutedCall call, ChatRequest request, DateTimeOffset deadline, JobPlaces places, string? traceParent,
        IBufferWriter<byte> output)
    {
        var info = call.Call.Info;
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("trace_id"u8, info.TraceId);
        json.WriteNumber("attempt"u8, 1);
        json.WriteString("correlation_id"u8, info.CorrelationId);
        json.WriteString("owner"u8, info.Owner);
        json.WriteString("pipeline"u8, call.Pipeline);
        json.WriteOptional("workspace"u8, call.Workspace);
        json.WriteString("model"u8, call.Model);
        WriteRequest(json, request, call.Model);
        if (places.Bus is { } bus)
        {
            json.WriteString("reply"u8, bus.EventSubject(info.TraceId));
            json.WriteString("control"u8, bus.ControlSubject(info.TraceId));
        }

        json.WriteString("deadline"u8, deadline.UtcDateTime);
        json.WriteOptional("traceparent"u8, traceParent);
        if (places.BaseUrl is { } url) json.WriteObject("proxy"u8, "base_url"u8, url);
        if (places.Bus is { } server) json.WriteObject("nats"u8, "url"u8, server.Url);
        json.WriteEndObject();
    }

    /// <summary>Writes the messages and the parameters as OpenAI's request has them.</summary>
    private static void WriteRequest(Utf8JsonWriter json, ChatRequest request, string model)
    {
        using var body = new PooledBody();
        OpenAiChatRequestCodec.Write(request, model, body, []);
        var written = WireJson.Parse(body.Span);
        json.WriteAsItCame("messages", written.GetProperty("messages"u8));
        json.WriteStartObject("params"u8);
        foreach (var member in written.EnumerateObject())
        {
            if (!NoParameters.AsSpan().Contains(member.Name)) json.WriteAsItCame(member.Name, member.Value);
        }

        json.WriteEndObject();
    }
}
