using Proxy.Transport;

namespace Proxy.Composition;

/// <summary>
/// Every request of a client passes here. After a handoff, each connection is closed after its next response, so that its client connects anew.
/// </summary>
/// <param name="answer">Answers a request.</param>
internal sealed class ClientDoor(RequestDelegate answer)
{
    private volatile bool closes;

    /// <summary>Connections serve one more request from now on.</summary>
    public void Close() => closes = true;

    public Task HandleAsync(HttpContext context)
    {
        if (!closes) return answer(context);
        if (context is IClosesAfter plain) plain.CloseAfter();
        else context.Response.Headers.Connection = "close"; // Kestrel tells an HTTP/2 client so in its own way
        return answer(context);
    }
}
