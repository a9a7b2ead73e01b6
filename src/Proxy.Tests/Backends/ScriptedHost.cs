using System.Text;
using Proxy.Buffers;
using Proxy.Transport;

namespace Proxy.Tests.Backends;

/// <summary>One step of a scripted host: it sends bytes, ends, fails, or is silent until it is cancelled.</summary>
internal readonly record struct Step(ReplyReadKind? Kind, byte[] Bytes)
{
    public static readonly Step End = new(ReplyReadKind.End, []);
    public static readonly Step Quiet = new(ReplyReadKind.Quiet, []);
    public static readonly Step TimedOut = new(ReplyReadKind.TimedOut, []);
    public static readonly Step Failed = new(ReplyReadKind.Failed, []);

    /// <summary>Silent until <see cref="ReplyBody.Cancel"/>.</summary>
    public static readonly Step Silence = new(null, []);

    public static implicit operator Step(string text) => new(ReplyReadKind.Data, Encoding.UTF8.GetBytes(text));

    public static implicit operator Step(byte[] bytes) => new(ReplyReadKind.Data, bytes);
}

/// <summary>One answer of a host: its head, and one step per read of its body. After the last step it is silent.</summary>
internal sealed record Script(UpstreamHead Head, params Step[] Steps)
{
    public static Script Answer(int status, string contentType, params Step[] steps) =>
        new(new UpstreamHead(UpstreamOutcome.Answered, status) { ContentType = contentType }, steps);

    public static Script Stream(params Step[] steps) => Answer(200, "text/event-stream", steps);

    public static Script Json(string body, int status = 200) => Answer(status, "application/json", body, Step.End);

    public static Script None(UpstreamOutcome outcome, string? failure = null) => new(new UpstreamHead(outcome) { Failure = failure });

    /// <summary>Accepts the request and sends no head until it is cancelled.</summary>
    public static readonly Script NoHead = new(new UpstreamHead(UpstreamOutcome.Cancelled)) { Holds = true };

    public bool Holds { get; init; }
}

/// <summary>A host without a network: answers each exchange with the next script and records the requests.</summary>
internal sealed class ScriptedHost(params Script[] scripts) : UpstreamClient
{
    private readonly Queue<Script> left = new(scripts);
    private readonly List<ScriptedExchange> exchanges = [];

    /// <summary>The exchanges so far. Thread-safe: a test may read them while another thread makes requests.</summary>
    public IReadOnlyList<ScriptedExchange> Exchanges { get { lock (exchanges) return [.. exchanges]; } }

    public bool Closed { get; private set; }

    public long Received { get; set; }

    public override long Heard => Received;

    /// <summary>The calls of <see cref="Suspect"/> ("suspect") and <see cref="EndSuspects"/> ("end"), in order.</summary>
    public List<string> Told { get; } = [];

    public override void Suspect() => Told.Add("suspect");

    public override void EndSuspects() => Told.Add("end");

    public void Add(Script script) => left.Enqueue(script);

    public override UpstreamExchange Open()
    {
        var exchange = new ScriptedExchange(left.Count > 0 ? left.Dequeue() : Script.NoHead);
        lock (exchanges) exchanges.Add(exchange);
        return exchange;
    }

    public override void Dispose() => Closed = true;
}

/// <summary>A scripted exchange. Each read overwrites the bytes that the previous one lent, to expose code that keeps them.</summary>
internal sealed class ScriptedExchange(Script script) : UpstreamExchange
{
    private readonly TaskCompletionSource cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource waiting = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private byte[] lent = [];
    private int next;

    public ScriptedExchange(params Step[] steps) : this(Script.Stream(steps)) { }

    public override long Now => Clock;

    public long Clock { get; set; }

    public UpstreamRequest Request { get; private set; }

    public string Sent { get; private set; } = "";

    public int Disposals { get; private set; }

    public bool WasCancelled => cancelled.Task.IsCompleted;

    /// <summary>The deadline of each read, in order; the first is that of the request.</summary>
    public List<long> Deadlines { get; } = [];

    /// <summary>For each read, the time at which it had to return for a keep-alive.</summary>
    public List<long> QuietTimes { get; } = [];

    /// <summary>Completes when the script reaches its silence.</summary>
    public Task Waiting => waiting.Task;

    public override async ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        Deadlines.Add(Deadline);
        Request = request;
        var body = new byte[request.Body.Length];
        request.Body.CopyTo(body);
        Sent = Encoding.UTF8.GetString(body);
        if (script.Holds) await SilenceAsync();
        return cancelled.Task.IsCompleted ? new UpstreamHead(UpstreamOutcome.Cancelled) : script.Head;
    }

    public override async ValueTask<ReplyRead> ReadAsync()
    {
        ObjectDisposedException.ThrowIf(Disposals > 0, this);
        Array.Fill(lent, (byte)'#');
        Deadlines.Add(Deadline);
        QuietTimes.Add(QuietAt);
        if (cancelled.Task.IsCompleted) return new(ReplyReadKind.Cancelled);
        if (next == script.Steps.Length || script.Steps[next].Kind is not { } kind)
        {
            await SilenceAsync();
            return new(ReplyReadKind.Cancelled);
        }

        lent = [.. script.Steps[next++].Bytes];
        if (kind is ReplyReadKind.Failed) Failure = "connection reset";
        return new(kind, lent);
    }

    public override void Cancel() => cancelled.TrySetResult();

    public override void Dispose() => Disposals++;

    private Task SilenceAsync()
    {
        waiting.TrySetResult();
        return cancelled.Task;
    }
}
