using Microsoft.Extensions.Logging;

namespace Proxy.Telemetry;

/// <summary>How a call ended; the names in the log and in the metrics.</summary>
internal enum CallOutcome { Ok, ClientLeft, Timeout, BackendError, Refused, Drained, ProxyError }

/// <summary>Who caused it that a call did not end well.</summary>
internal enum Fault { None, Client, Backend, Proxy }

/// <summary>The values of one call for the log; filled in while the call runs, written once at its end.</summary>
internal sealed class CallRecord
{
    public required string TraceId { get; init; }
    public required string CorrelationId { get; set; }

    /// <summary>The conversation, by the client's name for it.</summary>
    public string? Session { get; init; }
    public required string Surface { get; init; }

    /// <summary>A <see cref="TimeProvider.GetTimestamp"/>.</summary>
    public required long Started { get; init; }
    public string? Key { get; set; }
    public string? Model { get; set; }
    public string? Served { get; set; }
    public bool Stream { get; set; }
    public int? Messages { get; set; }
    public string? Route { get; set; }
    public string? Backend { get; set; }

    /// <summary>The workspaces that the call asks for, as the client wrote them.</summary>
    public string? Workspace { get; set; }

    /// <summary>The pipeline that the call asks for, as the client wrote it.</summary>
    public string? Pipeline { get; set; }

    /// <summary>The workflow's run.</summary>
    public string? RunId { get; set; }

    /// <summary>The task or model that the workflow chose.</summary>
    public string? Winner { get; set; }

    /// <summary>The digest of everything that shapes the answer, if it was needed.</summary>
    public string? RequestId { get; set; }

    /// <summary>The trace id of the call whose answer this call read.</summary>
    public string? Joined { get; set; }
    public int Status { get; set; }
    public long FirstToken { get; set; }

    /// <summary>How long the call waited for slots, in units of the timestamp; null: it asked for none.</summary>
    public long? Waited { get; set; }

    /// <summary>How long the last host took to accept a connection, in units of the timestamp; null: an idle one was used.</summary>
    public long? Connecting { get; set; }

    /// <summary>From the first content of a host's stream to its end, in units of the timestamp; null: a host has streamed nothing.</summary>
    public long? Generating { get; set; }

    /// <summary>The number of that stream's frames.</summary>
    public long? Chunks { get; set; }
    public int? TokensIn { get; set; }
    public int? TokensOut { get; set; }

    /// <summary>Those of <see cref="TokensIn"/> that the host read from its cache, and those that it wrote there.</summary>
    public int? TokensCached { get; set; }
    public int? TokensCacheWritten { get; set; }

    /// <summary>Those of <see cref="TokensOut"/> that were reasoning.</summary>
    public int? TokensReasoning { get; set; }
    public CallOutcome Outcome { get; set; }
    public Fault Fault { get; set; }

    /// <summary>The drain period ended while the call was running.</summary>
    public bool Interrupted { get; set; }

    /// <summary>The error's machine-readable code. Never its message, which may quote a prompt.</summary>
    public string? Error { get; set; }
}

/// <summary>Writes one log line and counts once per finished call.</summary>
internal sealed class CallLedger(LogWriter writer, LogFormat format, ProxyMetrics metrics, TimeProvider time)
{
    private static readonly string[] Outcomes = ["ok", "client_left", "timeout", "backend_error", "refused", "drained", "proxy_error"];
    private static readonly string[] Faults = ["none", "client", "backend", "proxy"];

    public static string Name(CallOutcome outcome) => Outcomes[(int)outcome];

    public void Write(CallRecord call)
    {
        var duration = time.GetElapsedTime(call.Started);
        TimeSpan? first = call.FirstToken == 0 ? null : time.GetElapsedTime(call.Started, call.FirstToken);
        var (queued, generating) = (Span(call.Waited), Span(call.Generating));
        var perToken = call.TokensOut is > 1 and var tokens ? generating / (tokens - 1) : null;
        metrics.Count(call, duration, first, queued, generating);
        if (writer.Least > LogLevel.Information) return;

        LogLine.Begin(format, time.GetUtcNow(), LogLevel.Information, " call"u8)
            .Add(" trace_id="u8, call.TraceId)
            .Add(" correlation_id="u8, call.CorrelationId)
            .Add(" req_id="u8, call.RequestId)
            .Add(" session="u8, call.Session)
            .Add(" key="u8, call.Key)
            .Add(" surface="u8, call.Surface)
            .Add(" model="u8, call.Model)
            .Add(" served="u8, call.Served)
            .Add(" winner="u8, call.Winner)
            .Add(" stream="u8, call.Stream)
            .Add(" messages="u8, call.Messages)
            .Add(" route="u8, call.Route)
            .Add(" workspace="u8, call.Workspace)
            .Add(" pipeline="u8, call.Pipeline)
            .Add(" run_id="u8, call.RunId)
            .Add(" backend="u8, call.Backend)
            .Add(" joined="u8, call.Joined)
            .Add(" status="u8, call.Status)
            .Add(" queue_ms="u8, queued?.TotalMilliseconds)
            .Add(" connect_ms="u8, Span(call.Connecting)?.TotalMilliseconds)
            .Add(" first_token_ms="u8, first?.TotalMilliseconds)
            .Add(" per_token_ms="u8, perToken?.TotalMilliseconds)
            .Add(" duration_ms="u8, duration.TotalMilliseconds)
            .Add(" tokens_in="u8, call.TokensIn)
            .Add(" tokens_out="u8, call.TokensOut)
            .Add(" outcome="u8, Name(call.Outcome))
            .Add(" fault="u8, Faults[(int)call.Fault])
            .Add(" error="u8, call.Error)
            .End(writer);
    }

    private TimeSpan? Span(long? units) => units is { } some ? time.GetElapsedTime(0, some) : null;
}
