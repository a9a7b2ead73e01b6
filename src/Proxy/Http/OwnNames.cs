using System.Net;
using Proxy.Config;

namespace Proxy.Http;

/// <summary>
/// The host names by which a caller without a key may address this proxy. An attacker must not be able to make a browser resolve such a name first to another
/// machine and then to this one (DNS rebinding). So only these names are accepted: IP addresses, localhost, this machine's own name (also with <c>.local</c>),
/// and the hosts of <c>[server] public_urls</c>, which the operator vouches for.
/// </summary>
internal sealed class OwnNames
{
    private readonly string[] names;
    private readonly string[] origins;

    public OwnNames(ServerConfig server)
    {
        var machine = Environment.MachineName; // the host name up to its first dot
        var urls = server.PublicUrls.Select(static text => PublicUrl.TryParse(text, out var url, out _) ? url : null).OfType<PublicUrl>().ToArray();
        names = [.. new[] { "localhost", machine, machine + ".local", Dns.GetHostName() }.Concat(urls.Select(static url => url.Host.TrimEnd('.')))
            .Distinct(StringComparer.OrdinalIgnoreCase)];
        origins = [.. urls.Select(static url => url.Origin)];
    }

    /// <summary>Whether a Host header names this proxy. The port is not compared: a reverse proxy may drop it, and the check is about the name.</summary>
    public bool Has(ReadOnlySpan<char> host)
    {
        if (host.IsEmpty) return true; // only HTTP/1.0 allows that, and no browser sends it
        var name = host;
        if (host[0] == '[')
        {
            name = host[..(host.IndexOf(']') + 1)];
            if (name.Length > 2 && IPAddress.IsValid(name[1..^1])) return true;
        }
        else if (host.IndexOf(':') is var colon and >= 0)
        {
            name = host[..colon];
        }

        if (name.EndsWith('.')) name = name[..^1]; // the same name, fully qualified
        if (IPAddress.IsValid(name)) return true;
        foreach (var own in names)
        {
            if (name.Equals(own, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    /// <summary>Whether a Host header is a name or an address of loopback, which no name server can point elsewhere.</summary>
    public static bool IsLoopback(string host)
    {
        if (!Uri.TryCreate("http://" + host, UriKind.Absolute, out var url) || url.Authority.Length == 0 || url.UserInfo.Length > 0) return false;
        var name = url.Host.TrimEnd('.');
        return name.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(url.HostNameType is UriHostNameType.IPv6 ? name.Trim('[', ']') : name, out var address) && IPAddress.IsLoopback(address));
    }

    /// <summary>Whether a page of this origin is our own, served through a reverse proxy.</summary>
    public bool HasOrigin(string origin)
    {
        foreach (var own in origins)
        {
            if (origin.Equals(own, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }
}
