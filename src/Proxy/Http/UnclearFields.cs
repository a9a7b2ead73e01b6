using System.Buffers;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// Finds header fields that RFC 9110 and 9112 forbid but Kestrel accepts: a server in front of us may have read them differently. The parser of the event loops
/// accepts no such request.
/// </summary>
internal static class UnclearFields
{
    private static readonly SearchValues<char> TokenCharacters =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    private static readonly SearchValues<char> Controls =
        SearchValues.Create([.. Enumerable.Range(0, 32).Select(code => (char)code).Where(c => c is not '\t'), '\u007f']);

    /// <summary>Describes what is wrong; null if nothing is.</summary>
    public static string? Of(HttpContext context)
    {
        if (context is IStrictRequest) return null;
        var headers = context.Request.Headers;
        foreach (var (name, values) in headers)
        {
            if (name.AsSpan().TrimStart(':').ContainsAnyExcept(TokenCharacters)) return $"an invalid character in the header name '{Shown(name)}'";
            foreach (var value in values)
            {
                if (value.AsSpan().ContainsAny(Controls)) return $"a control character in the header '{Shown(name)}'";
            }
        }

        if (headers.TransferEncoding.Count == 0) return null;
        if (HttpProtocol.IsHttp10(context.Request.Protocol)) return "a Transfer-Encoding in HTTP/1.0, which does not allow it";
        // Kestrel renames the Content-Length to this when it reads a chunked body.
        return headers.ContainsKey("X-Content-Length") ? "both a Transfer-Encoding and a Content-Length" : null;
    }

    private static string Shown(string name) => name.Length <= 40 ? name : name[..40] + "…";
}
