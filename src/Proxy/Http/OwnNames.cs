using System.Net;
using Proxy.Config;

namespace Proxy.Http;

/// <summary>
/// The names by which a caller without a key may address this proxy. Only those pass that nobody on the network can make a browser resolve to another machine first and to this one
/// afterwards: addresses, localhost, this machine's own name (also with <c>.local</c>), and the hosts of <c>[server] public_urls</c>, which the operator answers for.
/// </summary>
internal sealed class OwnNames
{
    private readonly string[] names;
    private readonly string[] origins;

    public OwnNames(ServerConfig server)
    {
        var machine = Environment.MachineName; // up to its first dot
        var urls = server.PublicUrls.Select(static text => PublicUrl.TryParse(text, out var url, out _) ? url : null).OfType<PublicUrl>().ToArray();
        names = [.. new[] { "localhost", machine, machine + ".local", Dns.GetHostName() }.Concat(urls.Select(static url => url.Host.TrimEnd('.'))).Distinct(StringComparer.OrdinalIgnoreCase)];
        origins = [.. urls.Select(static url => url.Origin)];
    }

    /// <summary>Whether a Host header names this proxy. The port is not compared: a server in front may drop it, and it says nothing about the name.</summary>
    public bool Has(ReadOnlySpan<char> host)
    {
        if (host.IsEmpty) return true; // HTTP/1.0: no browser sends it
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

        if (name.EndsWith('.')) name = name[..^1]; // the same name, in full
        if (IPAddress.IsValid(name)) return true;
        foreach (var own in names)
        {
            if (name.Equals(own, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    /// <summary>Whether a page of this origin is one of our own, as a server in front of us serves it.</summary>
    public bool HasOrigin(string origin)
    {
        foreach (var own in origins)
        {
            if (origin.Equals(own, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }
}
