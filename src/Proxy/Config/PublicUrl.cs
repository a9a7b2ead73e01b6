using System.Diagnostics.CodeAnalysis;

namespace Proxy.Config;

/// <summary>
/// One entry of <c>public_urls</c>: a url under which clients reach the proxy, by a name that is not this machine's or through a TLS server in front. Its host
/// is accepted as a Host, and a page of its origin counts as the proxy's own.
/// </summary>
/// <param name="Host">In the form of a Host header, without the port: <c>ai.example</c>, <c>[2001:db8::1]</c>. Compared case-insensitively.</param>
/// <param name="Origin">As a browser sends it: <c>https://ai.example</c>, <c>http://box.lan:8080</c>.</param>
internal sealed record PublicUrl(string Host, string Origin)
{
    public static bool TryParse(string text, [NotNullWhen(true)] out PublicUrl? url, [NotNullWhen(false)] out string? problem)
    {
        (url, problem) = (null, null);
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0
            || uri.Host.Contains('*', StringComparison.Ordinal) || text.Trim() != text)
            problem = "is not a URL that clients use; write \"https://ai.example\" or \"http://box.lan:8080\"";
        // The message does not repeat the url, because it contains a credential.
        else if (uri.UserInfo.Length > 0) problem = "holds a credential before the \"@\"; leave it out";
        else if (uri.Query.Length > 0 || uri.Fragment.Length > 0) problem = "has a query or a fragment; leave it out";
        else url = new(uri.HostNameType == UriHostNameType.IPv6 ? uri.Host : uri.IdnHost, $"{uri.Scheme}://{HostAndPort(uri)}");
        return problem is null;
    }

    private static string HostAndPort(Uri uri)
    {
        var host = uri.HostNameType == UriHostNameType.IPv6 ? uri.Host : uri.IdnHost;
        return uri.IsDefaultPort ? host : $"{host}:{uri.Port}";
    }
}
