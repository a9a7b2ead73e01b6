using Microsoft.AspNetCore.Http;
using System.IO.Pipelines;

namespace Proxy.Transport.Http1;

/// <summary>A plain request. It has no query, form or cookies.</summary>
internal sealed class Http1Request(Http1Context context, RequestReader head, RequestBodyReader body) : HttpRequest
{
    public override HttpContext HttpContext => context;
    public override string Method { get => head.Method; set => throw Fixed(); }
    public override string Scheme { get => "http"; set => throw Fixed(); }
    public override bool IsHttps { get => false; set => throw Fixed(); }
    public override HostString Host { get => new(head.Fields["host"].ToString()); set => throw Fixed(); }
    public override PathString PathBase { get => PathString.Empty; set => throw Fixed(); }
    public override PathString Path { get => new(head.Path); set => throw Fixed(); }
    public override QueryString QueryString { get => QueryString.Empty; set => throw Fixed(); }
    public override IQueryCollection Query { get => QueryCollection.Empty; set => throw Fixed(); }
    public override string Protocol { get => HttpProtocol.Http11; set => throw Fixed(); }
    public override IHeaderDictionary Headers => head.Fields;
    public override IRequestCookieCollection Cookies { get => throw new NotSupportedException(); set => throw Fixed(); }
    public override long? ContentLength { get => head.Method == "POST" ? head.BodyLength : null; set => throw Fixed(); }
    public override string? ContentType { get => head.Fields["content-type"]; set => throw Fixed(); }
    public override PipeReader BodyReader => body;
    public override Stream Body { get => body.AsStream(leaveOpen: true); set => throw Fixed(); }
    public override bool HasFormContentType => false;
    public override IFormCollection Form { get => throw new NotSupportedException(); set => throw Fixed(); }

    public override Task<IFormCollection> ReadFormAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    private static InvalidOperationException Fixed() => new("the request cannot be changed");
}
