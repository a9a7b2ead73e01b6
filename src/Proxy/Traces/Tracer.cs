using Proxy.Chat;

namespace Proxy.Traces;

/// <summary>
/// Traces a call if its client does (the flag "sampled" of <c>traceparent</c>), and of the calls without a <c>traceparent</c> a share. A trace that the client
/// does not record is not recorded here either: a part of a trace says little.
/// </summary>
/// <param name="share">The share of the calls without a <c>traceparent</c>, from 0 to 1. Asked for each such call.</param>
/// <param name="spans">Takes the spans that have ended.</param>
/// <param name="time">The clock.</param>
internal sealed class Tracer(Func<double> share, SpanQueue spans, TimeProvider time) : CallTracer
{
    /// <summary>The trace id's part that decides: its last 56 bits, as OpenTelemetry's samplers do, so that several proxies decide alike.</summary>
    private const ulong Randomness = (1UL << 56) - 1;

    public override CallSpan Begin(string? given, string method, string surface, out string traceParent)
    {
        UInt128 trace;
        ulong parent = 0;
        var isSampled = true;
        if (given is not null)
        {
            (trace, parent, isSampled) = TraceParents.Read(given);
        }
        else
        {
            trace = TraceParents.NewTrace();
            isSampled = IsSampled(trace, share());
        }

        if (!isSampled)
        {
            traceParent = given ?? TraceParents.Write(trace, TraceParents.NewSpan(), isSampled: false);
            return CallSpan.None;
        }

        var span = new TracedSpan(spans, new(trace, time), parent, $"{method} {surface}", SpanKind.Server);
        span.Set("http.request.method", method);
        span.Set("http.route", surface);
        traceParent = span.TraceParent;
        return span;
    }

    public static bool IsSampled(UInt128 trace, double share) => ((ulong)trace & Randomness) >= (1 - share) * (Randomness + 1.0);
}
