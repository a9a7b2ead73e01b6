using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Http;

/// <summary>
/// Ends the span of a traced call: with the values of its log line, by the names of OpenTelemetry's conventions for HTTP and GenAI where those have one, and
/// with a span below it for each stage that <see cref="CallTimes"/> has noted.
/// </summary>
internal static class CallSpans
{
    public static void End(CallInfo info, CallRecord record, TimeProvider time)
    {
        AddStages(info.Span, info.Times, record, time.GetTimestamp());
        SetHttp(info.Span, record);
        SetGenAi(info.Span, info, record);
        SetOwn(info.Span, info, record);
        info.Span.Dispose();
    }

    private static void AddStages(CallSpan span, CallTimes times, CallRecord record, long now)
    {
        var first = times.Sent;
        for (var failed = times.Failed; failed is not null; failed = failed.Before)
        {
            using var attempt = span.Add("attempt", failed.Sent, failed.Ended, SpanKind.Client);
            attempt.Set("proxy.backend", failed.Backend);
            attempt.Fail(ProxyErrorTable.Of(failed.Why).Code);
            first = failed.Sent;
        }

        // Until the first attempt: the waits of later ones lie between the attempts.
        if (times.Asked != 0) span.Add("queue", times.Asked, first != 0 ? first : now).Dispose();
        if (times.Sent == 0 || times.Failed?.Sent == times.Sent) return; // no host was asked, or each has failed
        if (times.Connected != 0) AddOf(record, span, "connect", times.Sent, times.Connected);
        var connected = times.Connected != 0 ? times.Connected : times.Sent;
        AddOf(record, span, "first token", connected, times.Content != 0 ? times.Content : now);
        if (times is { Content: not 0, Frames: not null })
            AddOf(record, span, "stream", times.Content, times.Ended != 0 ? times.Ended : now);
    }

    private static void AddOf(CallRecord record, CallSpan span, string stage, long from, long to)
    {
        using var added = span.Add(stage, from, to, SpanKind.Client);
        added.Set("proxy.backend", record.Backend);
    }

    private static void SetHttp(CallSpan span, CallRecord record)
    {
        span.Set("http.response.status_code", record.Status);
        if (record.Outcome is CallOutcome.Ok) return;
        var error = record.Error ?? CallLedger.Name(record.Outcome);
        // A client's mistake, or its leaving, is no failure of a server.
        if (record.Fault is Fault.Backend or Fault.Proxy) span.Fail(error);
        else span.Set("error.type", error);
    }

    private static void SetGenAi(CallSpan span, CallInfo info, CallRecord record)
    {
        if (record.Model is not null) span.Set("gen_ai.operation.name", Operation(record.Surface));
        span.Set("gen_ai.request.model", record.Model);
        span.Set("gen_ai.response.model", record.Served);
        span.Set("gen_ai.conversation.id", info.Session);
        span.Set("gen_ai.usage.input_tokens", record.TokensIn);
        span.Set("gen_ai.usage.output_tokens", record.TokensOut);
    }

    private static void SetOwn(CallSpan span, CallInfo info, CallRecord record)
    {
        span.Set("proxy.trace_id", record.TraceId);
        if (record.CorrelationId != record.TraceId) span.Set("proxy.correlation_id", record.CorrelationId);
        span.Set("proxy.req_id", record.RequestId);
        span.Set("proxy.key", record.Key);
        span.Set("proxy.route", record.Route);
        span.Set("proxy.backend", record.Backend);
        span.Set("proxy.workspace", record.Workspace);
        span.Set("proxy.pipeline", record.Pipeline);
        span.Set("proxy.run_id", record.RunId);
        span.Set("proxy.winner", record.Winner);
        span.Set("proxy.joined", record.Joined);
        span.Set("proxy.cache", info.Cache);
        span.Set("proxy.outcome", CallLedger.Name(record.Outcome));
    }

    /// <summary>The conventions' word for what a URL does; ours where they have none.</summary>
    private static string Operation(string surface) => surface switch
    {
        _ when surface.Contains("embed", StringComparison.Ordinal) => "embeddings",
        _ when surface.Contains("rerank", StringComparison.Ordinal) => "rerank",
        "/v1/completions" or "/api/generate" => "text_completion",
        _ => "chat",
    };
}
