using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Proxy.Transport.Loops;

namespace Proxy.Transport.Http1;

/// <summary>
/// Fast path for a connection's plain requests (see <see cref="RequestReader"/>), without Kestrel's HTTP implementation. The first request that is not
/// plain, and everything after it on the connection, is passed to Kestrel unchanged, so that unusual and malformed requests have a single parser.
/// </summary>
internal sealed class Http1Connection
{
    // Kestrel's own limits, in its heartbeats of one second.
    private const int LongestIdle = 130;
    private const int LongestBodyStall = 60;
    private const int LongestSkip = 5;

    // A client that was accepted just before the shutdown gets this many heartbeats to send its first request.
    private const int LongestFirst = 2;

    private readonly LoopConnection connection;
    private readonly RequestDelegate handle;
    private readonly ILogger log;
    private readonly RequestReader head = new();
    private readonly RequestBodyReader body;
    private readonly Http1Context context;
    private volatile Waiting waiting;
    private volatile bool closing;
    private volatile bool hasServed;
    private int beats;

    private enum Waiting : byte
    {
        ForNothing,
        ForRequest,
        ForBody,
        ForSkipped,
    }

    private Http1Connection(LoopConnection connection, RequestDelegate handle, HttpDate date, ILogger log)
    {
        this.connection = connection;
        this.handle = handle;
        this.log = log;
        body = new(connection.Reader);
        context = new(connection, head, body, date);
    }

    /// <summary>Connection middleware for a listener on the loops: handles plain requests and passes all others to Kestrel.</summary>
    public static ConnectionDelegate Use(ConnectionDelegate server, RequestDelegate handle, HttpDate date, ILogger log) => connection =>
        connection is LoopConnection { IsBare: true } bare ? new Http1Connection(bare, handle, date, log).ServeAsync(server) : server(connection);

    private async Task ServeAsync(ConnectionDelegate server)
    {
        connection.Features.Get<IConnectionHeartbeatFeature>()?.OnHeartbeat(static state => ((Http1Connection)state).Beat(), this);
        var ending = connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;
        await using var registration = ending.UnsafeRegister(static state => ((Http1Connection)state!).Close(), this);
        try
        {
            Task<bool> serving;
            using (ExecutionContext.SuppressFlow()) serving = ServePlainAsync(); // as the loop does: nothing here uses the execution context
            if (!await serving) return;
        }
        catch (ConnectionResetException)
        {
            return; // the client has disconnected
        }

        await server(connection);
    }

    /// <summary>Serves requests until the connection ends (false) or a request is not plain (true).</summary>
    private async Task<bool> ServePlainAsync()
    {
        while (true)
        {
            Wait(Waiting.ForRequest);
            ReadResult read;
            if (closing && hasServed)
            {
                // The server is stopping: answer requests that have already arrived, and do not wait for more.
                await connection.Loop.EnterAsync();
                if (!connection.Reader.TryRead(out read) || read.Buffer.IsEmpty) return false;
            }
            else
            {
                read = await connection.Reader.ReadAsync();
            }

            var isOver = read.IsCompleted || beats >= LongestIdle || (closing && read.IsCanceled);
            Wait(Waiting.ForNothing);
            if (read.Buffer.IsEmpty)
            {
                if (isOver) return false;
                continue;
            }

            if (!head.TryRead(read.Buffer.FirstSpan, out var length))
            {
                connection.Reader.AdvanceTo(read.Buffer.Start);
                return true;
            }

            connection.Reader.AdvanceTo(read.Buffer.GetPosition(length));
            body.Start(head.BodyLength);
            hasServed = true;
            if (body.Left > 0) Wait(Waiting.ForBody);
            try
            {
                await handle(context);
            }
            catch (Exception problem) when (problem is not OutOfMemoryException)
            {
                if (!IsAnswerable(problem)) return false;
            }

            if (context.IsAborted || IsUnanswered() || !IsWhole(await context.Answer.Writer.FinishAsync())) return false;
            if (body.Left > 0 && !await SkipAsync()) return false;
        }
    }

    /// <summary>The client has left and the handler has not touched the response. Nothing is sent, because the default status would be 200.</summary>
    private bool IsUnanswered() => (connection.PeerDone || connection.Reader.IsOver) && context.Answer.IsUntouched;

    /// <summary>Handles an exception of the handler: prepares a 500. False if the response has begun or the client has left.</summary>
    private bool IsAnswerable(Exception problem)
    {
        var isGone = connection.PeerDone || connection.ConnectionClosed.IsCancellationRequested;
        if (!isGone) log.HandlerFault(problem);
        var response = context.Answer;
        if (response.HasStarted || isGone)
        {
            connection.Abort();
            return false;
        }

        response.Reset();
        response.StatusCode = StatusCodes.Status500InternalServerError;
        return true;
    }

    /// <summary>Called when the response has been sent. False if the connection cannot serve another request.</summary>
    private bool IsWhole(FlushResult sent)
    {
        var response = context.Answer;
        var isShort = response.Writer.IsShort;
        if (isShort) connection.Abort(); // so that the client does not take a truncated body for a complete one
        var goesOn = !sent.IsCompleted && !isShort && !response.Closes;
        response.Reset();
        return goesOn;
    }

    /// <summary>Reads and discards the rest of the request's body. False if it does not arrive in time.</summary>
    private async ValueTask<bool> SkipAsync()
    {
        Wait(Waiting.ForSkipped);
        try
        {
            while (body.Left > 0)
            {
                var read = await body.ReadAsync();
                body.AdvanceTo(read.Buffer.End);
            }
        }
        catch (BadHttpRequestException)
        {
            return false;
        }

        return true;
    }

    private void Wait(Waiting what)
    {
        waiting = what;
        beats = 0;
    }

    // Called on Kestrel's heartbeat thread.
    private void Beat()
    {
        switch (waiting)
        {
            case Waiting.ForRequest when ++beats == LongestIdle || (closing && beats >= LongestFirst):
                connection.Reader.CancelPendingRead();
                break;
            case Waiting.ForBody when body.IsMoving:
                body.IsMoving = false;
                beats = 0;
                break;
            case Waiting.ForBody when body.Left > 0 && ++beats == LongestBodyStall:
            case Waiting.ForSkipped when ++beats == LongestSkip:
                body.Stall();
                break;
        }
    }

    private void Close()
    {
        closing = true;
        context.Answer.Closes = true;
        if (hasServed && waiting is Waiting.ForRequest) connection.Reader.CancelPendingRead();
    }
}
