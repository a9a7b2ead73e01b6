using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Proxy.Transport.Loops;

/// <summary>A client's connection, on one loop for life. Kestrel uses it from any thread; the descriptor is read and closed on the loop only.</summary>
internal sealed class LoopConnection : ConnectionContext, ILoopTarget, ILoopWork, ITicked, IDuplexPipe, IConnectionIdFeature, IConnectionTransportFeature, IConnectionItemsFeature,
    IConnectionLifetimeFeature, IConnectionEndPointFeature, IRelayOutput
{
    // What Run is to do; set from any thread.
    private const int Beginning = 1;
    private const int Reading = 2;
    private const int Aborting = 4;
    private const int Closing = 8;
    private const int Watching = 16;

    // A client that has taken nothing for so long is gone. Kestrel's own limit does not see what is sent past it.
    private const long LongestStall = 5 * 60 * 1000;

    private static long lastId;

    private readonly CancellationTokenSource gone = new();
    private readonly Action<LoopConnection> offer;
    private readonly int descriptor;
    private int todo;
    private int slot = -1;
    private bool closed;
    private bool dead;
    private int told;
    private long takenBefore;
    private long stalledSince;
    private TaskCompletionSource? drained;

    public LoopConnection(EventLoop loop, int descriptor, EndPoint? local, EndPoint? remote, Action<LoopConnection> offer)
    {
        Loop = loop;
        this.descriptor = descriptor;
        this.offer = offer;
        LocalEndPoint = local;
        RemoteEndPoint = remote;
        Reader = new(this, descriptor);
        Writer = new(this, descriptor);
        Transport = this;
        ConnectionClosed = gone.Token;
        Features = new ConnectionFeatures(this);
        loop.CountConnection(1); // at once: whoever accepts the next one chooses by it
    }

    public EventLoop Loop { get; }
    public LoopReader Reader { get; }
    public LoopWriter Writer { get; }
    public override IFeatureCollection Features { get; }
    public override IDuplexPipe Transport { get; set; }
    public override CancellationToken ConnectionClosed { get; set; }
    public override EndPoint? LocalEndPoint { get; set; }
    public override EndPoint? RemoteEndPoint { get; set; }

    public override string ConnectionId
    {
        get => field ??= $"L{Interlocked.Increment(ref lastId):x}";
        set;
    }

    public override IDictionary<object, object?> Items
    {
        get => field ??= new ConnectionItems();
        set;
    }

    int ITicked.TickMark { get; set; }

    /// <summary>Bytes go out as they are: nothing (TLS, a log) stands between the protocol and the socket.</summary>
    public bool IsBare => ReferenceEquals(Transport, this);

    /// <summary>The peer said that it sends no more, or is gone.</summary>
    public bool PeerDone { get; private set; }

    PipeReader IDuplexPipe.Input => Reader;
    PipeWriter IDuplexPipe.Output => Writer;

    // Not under TLS, in HTTP/1.0 and in HTTP/2.
    PipeWriter IRelayOutput.WriterOf(HttpContext context) => IsBare && HttpProtocol.IsHttp11(context.Request.Protocol) && !HttpMethods.IsHead(context.Request.Method)
        ? new DirectWriter(context.Response, Writer)
        : context.Response.BodyWriter;

    /// <summary>Any thread, once.</summary>
    public void Start()
    {
        if (Loop.IsCurrent) Begin();
        else Ask(Beginning);
    }

    /// <summary>A read waits, and there may be something to read. Any thread.</summary>
    public void Resume() => Ask(Reading);

    /// <summary>A flush waits for the client. Any thread.</summary>
    public void WatchForStall()
    {
        if (((ITicked)this).TickMark == 0) Ask(Watching);
    }

    public override void Abort(ConnectionAbortedException abortReason)
    {
        if (Loop.IsCurrent) Kill();
        else Ask(Aborting);
    }

    public override void Abort() => Ask(Aborting);

    public override async ValueTask DisposeAsync()
    {
        if (Writer.HasRest)
        {
            drained ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            if (Writer.HasRest) await drained.Task;
        }

        Ask(Closing);
        await base.DisposeAsync();
    }

    public void OnReady(uint events)
    {
        if ((events & (LibC.PeerClosed | LibC.HungUp | LibC.Error)) != 0) PeerDone = true;
        if ((events & ~LibC.Writable) != 0) Reader.OnReadable();
        if ((events & LibC.Writable) != 0) Writer.OnWritable();
        if (PeerDone) TellGone();
    }

    public void Run()
    {
        var asked = Interlocked.Exchange(ref todo, 0);
        if ((asked & Beginning) != 0) Begin();
        if ((asked & Aborting) != 0) Kill();
        if ((asked & Reading) != 0) Reader.GoOn();
        if ((asked & Watching) != 0 && !closed)
        {
            stalledSince = 0;
            Loop.AddTicked(this);
        }

        if ((asked & Closing) != 0) Close();
    }

    void ITicked.Tick(long now)
    {
        if (!Writer.HasRest)
        {
            Loop.RemoveTicked(this);
        }
        else if (stalledSince == 0 || Writer.Taken != takenBefore)
        {
            takenBefore = Writer.Taken;
            stalledSince = now;
        }
        else if (now - stalledSince >= LongestStall)
        {
            Kill();
        }
    }

    /// <summary>All that had been accepted from the writer has left, or never will.</summary>
    public void OnDrained() => drained?.TrySetResult();

    private void Ask(int what)
    {
        if (Interlocked.Or(ref todo, what) == 0) Loop.Post(this);
    }

    private void Begin()
    {
        slot = Loop.Watch(descriptor, this);
        if (slot < 0)
        {
            Close();
            return;
        }

        offer(this);
    }

    private void Kill()
    {
        if (dead || closed) return;
        dead = true;
        LibC.Shutdown(descriptor);
        TellGone();
        Writer.Fail();
        Reader.Fail();
    }

    private void Close()
    {
        if (closed) return;
        closed = true;
        Loop.CountConnection(-1);
        Loop.RemoveTicked(this);
        if (slot >= 0) Loop.Forget(slot);
        Reader.Close();
        Writer.Close(); // from here on nobody sends on the descriptor, whose number will soon be another's
        LibC.Close(descriptor);
        TellGone();
    }

    // A half-closed client counts as gone, as it does for the runtime's transport: that is what an impatient one looks like.
    private void TellGone()
    {
        if (Interlocked.Exchange(ref told, 1) == 0) ThreadPool.UnsafeQueueUserWorkItem(static source => source.Cancel(), gone, preferLocal: false);
    }
}
