namespace Proxy.Chat;

/// <summary>What a span is to its parent. The numbers are OTLP's.</summary>
internal enum SpanKind { Internal = 1, Server = 2, Client = 3, Producer = 4 }

/// <summary>
/// A piece of a call's work that is traced: it has a beginning, an end, a parent and values. Begin it where the work is done, and dispose it to end it.
/// If the call is not traced, every span of it is <see cref="None"/>, which does nothing, so that callers need no check. One thread at a time may change a
/// span.
/// </summary>
internal abstract class CallSpan : IDisposable
{
    public static readonly CallSpan None = new NoSpan();

    /// <summary>The span is written. Ask before computing values for <see cref="Set(string, string?)"/>.</summary>
    public abstract bool IsOn { get; }

    /// <summary>
    /// The <c>traceparent</c> for whoever works for this span elsewhere: a host, a job, the reader of a message. Null: the span is <see cref="None"/>.
    /// </summary>
    public abstract string? TraceParent { get; }

    /// <summary>Begins a span below this one.</summary>
    public abstract CallSpan Begin(string name, SpanKind kind = SpanKind.Internal);

    /// <summary>Adds a span below this one that is over. The times are <see cref="TimeProvider.GetTimestamp"/>s.</summary>
    /// <returns>The span, to which values can be added until it is disposed.</returns>
    public abstract CallSpan Add(string name, long from, long to, SpanKind kind = SpanKind.Internal);

    /// <summary>Sets a value; null sets none.</summary>
    public abstract void Set(string key, string? value);

    /// <inheritdoc cref="Set(string, string?)"/>
    public abstract void Set(string key, long? value);

    /// <summary>The work failed.</summary>
    /// <param name="type">The kind of error, one of few. Never a message, which may quote a prompt.</param>
    public abstract void Fail(string type);

    /// <summary>Ends the span. A second call does nothing.</summary>
    public abstract void Dispose();

    private sealed class NoSpan : CallSpan
    {
        public override bool IsOn => false;
        public override string? TraceParent => null;
        public override CallSpan Begin(string name, SpanKind kind) => this;
        public override CallSpan Add(string name, long from, long to, SpanKind kind) => this;
        public override void Set(string key, string? value) { }
        public override void Set(string key, long? value) { }
        public override void Fail(string type) { }
        public override void Dispose() { }
    }
}

/// <summary>Decides which calls are traced. This class traces none.</summary>
internal class CallTracer
{
    public static readonly CallTracer None = new();

    /// <summary>Begins the span of a call.</summary>
    /// <param name="given">The client's <c>traceparent</c>, which is valid; null: it sent none.</param>
    /// <param name="method">The request's method.</param>
    /// <param name="surface">The path of the endpoint.</param>
    /// <param name="traceParent">What is passed on with the call, and returned to the client.</param>
    /// <returns><see cref="CallSpan.None"/> if the call is not traced.</returns>
    public virtual CallSpan Begin(string? given, string method, string surface, out string traceParent)
    {
        traceParent = given ?? TraceParents.Mint();
        return CallSpan.None;
    }
}
