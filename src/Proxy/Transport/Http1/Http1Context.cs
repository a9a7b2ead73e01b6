using System.IO.Pipelines;
using System.Security.Claims;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Proxy.Transport.Loops;

namespace Proxy.Transport.Http1;

/// <summary>The <see cref="HttpContext"/> of a plain request. One instance serves all requests of its connection, one after the other.</summary>
internal sealed class Http1Context : HttpContext, IStrictRequest, IEndsUnanswered, IClosesAfter, IRelayOutput
{
    private readonly LoopConnection connection;

    public Http1Context(LoopConnection connection, RequestReader head, RequestBodyReader body, HttpDate date)
    {
        this.connection = connection;
        Request = new Http1Request(this, head, body);
        Answer = new(this, connection.Writer, date);
    }

    public Http1Response Answer { get; }
    public override HttpRequest Request { get; }
    public override HttpResponse Response => Answer;
    public override IFeatureCollection Features => connection.Features;
    public override CancellationToken RequestAborted { get => connection.ConnectionClosed; set => throw new NotSupportedException(); }
    public override ConnectionInfo Connection => throw new NotSupportedException();
    public override WebSocketManager WebSockets => throw new NotSupportedException();
    public override ClaimsPrincipal User { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override IDictionary<object, object?> Items { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override IServiceProvider RequestServices { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override string TraceIdentifier { get => connection.ConnectionId; set => throw new NotSupportedException(); }
    public override ISession Session { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>The handler has aborted the connection.</summary>
    public bool IsAborted { get; private set; }

    /// <summary>The response's own writer already sends relayed frames without a copy.</summary>
    PipeWriter IRelayOutput.WriterOf(HttpContext context) => Answer.BodyWriter;

    void IClosesAfter.CloseAfter() => Answer.Closes = true;

    public override void Abort()
    {
        IsAborted = true;
        connection.Abort();
    }
}
