using Microsoft.AspNetCore.Http.Features;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// Finds a path under <c>/v1/</c> that a host could resolve differently from us. We decide by the path who may call it, and the host decides what it does.
/// Kestrel has decoded the path once and removed its dot segments; a host that decodes the rest would do both again.
/// </summary>
internal static class UnclearPath
{
    private const string Prefix = "/v1/";
    private const string OneModel = "/v1/models/"; // a model's name may contain slashes; this path is never forwarded to a host

    /// <summary>Describes what is ambiguous about the request's path; null if nothing is. The parser of the event loops accepts no such path.</summary>
    public static string? Of(HttpContext context)
    {
        if (context is IStrictRequest) return null;
        var path = context.Request.Path.Value ?? "";
        var sent = Sent((context.Features[typeof(IHttpRequestFeature)] as IHttpRequestFeature)?.RawTarget ?? path);
        if (!path.StartsWith(Prefix, StringComparison.Ordinal) && !sent.StartsWith(Prefix)) return null;
        if (HasDots(sent) || HasDots(path)) return "a dot segment ('.' or '..') in its path";
        if (path.StartsWith(OneModel, StringComparison.Ordinal)) return null;
        if (sent.Contains("//", StringComparison.Ordinal)) return "an empty segment ('//') in its path";
        return HasSlash(sent) || HasSlash(path) ? "an encoded slash in its path" : null;
    }

    /// <summary>The path of a request target: of <c>/a?b</c>, and of <c>http://host/a?b</c>, the form that clients send to a proxy.</summary>
    private static ReadOnlySpan<char> Sent(ReadOnlySpan<char> target)
    {
        if (target.IndexOf('?') is var query and >= 0) target = target[..query];
        if (target.StartsWith('/') || target.IndexOf("://", StringComparison.Ordinal) is not (var scheme and >= 0)) return target;
        target = target[(scheme + 3)..];
        return target.IndexOf('/') is var slash and >= 0 ? target[slash..] : default;
    }

    private static bool HasDots(ReadOnlySpan<char> path)
    {
        foreach (var range in path.SplitAny('/', '\\'))
        {
            var rest = path[range];
            var dots = 0;
            while (!rest.IsEmpty)
            {
                if (rest[0] == '.') rest = rest[1..];
                else if (rest.StartsWith("%2e", StringComparison.OrdinalIgnoreCase)) rest = rest[3..];
                else break;
                dots++;
            }

            if (rest.IsEmpty && dots is (1 or 2)) return true;
        }

        return false;
    }

    private static bool HasSlash(ReadOnlySpan<char> path)
        => path.Contains("%2f", StringComparison.OrdinalIgnoreCase) || path.Contains("%5c", StringComparison.OrdinalIgnoreCase) || path.Contains('\\');
}
