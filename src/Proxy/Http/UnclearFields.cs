using System.Buffers;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// Finds what RFC 9110 and 9112 forbid in a request's fields and the general server lets pass: whoever stands before us may have read it in another way. The loops read no such request.
/// </summary>
internal static class UnclearFields
{
    private static readonly SearchValues<char> TokenCharacters = SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    private static readonly SearchValues<char> Controls = SearchValues.Create([.. Enumerable.Range(0, 32).Select(code => (char)code).Where(c => c is not '\t'), '\u007f']);

    /// <summary>What is wrong, in words; null when nothing is.</summary>
    public static string? Of(HttpContext context)
    {
        if (context is IStrictRequest) return null;
        var headers = context.Request.Headers;
        foreach (var (name, values) in headers)
        {
            if (name.AsSpan().TrimStart(':').ContainsAnyExcept(TokenCharacters)) return $"a header name '{Shown(name)}', which has a character that no name may have";
            foreach (var value in values)
            {
                if (value.AsSpan().ContainsAny(Controls)) return $"a control character in the header '{Shown(name)}'";
            }
        }

        if (headers.TransferEncoding.Count == 0) return null;
        if (HttpProtocol.IsHttp10(context.Request.Protocol)) return "a Transfer-Encoding in HTTP/1.0, which has none";
        // The server puts the length aside under this name when it takes the body by its chunks.
        return headers.ContainsKey("X-Content-Length") ? "both a Transfer-Encoding and a Content-Length" : null;
    }

    private static string Shown(string name) => name.Length <= 40 ? name : name[..40] + "…";
}
