using System.Net;
using System.Net.NetworkInformation;

namespace Proxy.Config;

/// <summary>Finds backends whose url is a listener of the same configuration: every call to one would loop.</summary>
internal static class OwnListener
{
    public static IEnumerable<ConfigProblem> Check(ProxyConfig config, ConfigSources sources)
    {
        for (var i = 0; i < config.Backends.Count; i++)
        {
            var url = config.Backends[i].Url;
            if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https")) continue;
            if (config.Server.Listen.FirstOrDefault(listen => Leads(uri, listen, sources)) is { } own)
                yield return new($"backends[{i}].url", 0,
                    $"\"{url}\" is this proxy's own listener (\"{own}\"), so every call would loop; write the url of a model host or of another proxy");
        }
    }

    /// <summary>The addresses of this machine's interfaces.</summary>
    public static bool IsOfThisMachine(IPAddress address)
    {
        try
        {
            return NetworkInterface.GetAllNetworkInterfaces().SelectMany(static card => card.GetIPProperties().UnicastAddresses)
                .Any(own => own.Address.Equals(address));
        }
        catch (NetworkInformationException)
        {
            return false;
        }
    }

    private static bool Leads(Uri url, string listen, ConfigSources sources)
    {
        if (!ListenAddress.TryParse(listen, out var address, out _) || address.Ip is not { } ip || ip.Port == 0 || ip.Port != url.Port) return false;

        var host = url.IdnHost.TrimEnd('.');
        var takesAll = ip.Address.Equals(IPAddress.Any) || ip.Address.Equals(IPAddress.IPv6Any);
        if (IPAddress.TryParse(host.Trim('[', ']'), out var named))
        {
            if (named.IsIPv4MappedToIPv6) named = named.MapToIPv4();
            // Connecting to the "any" address connects to loopback.
            if (named.Equals(IPAddress.Any)) named = IPAddress.Loopback;
            if (named.Equals(IPAddress.IPv6Any)) named = IPAddress.IPv6Loopback;
            if (!takesAll) return named.Equals(ip.Address);
            var isTaken = ip.Address.Equals(IPAddress.IPv6Any) || named.AddressFamily == ip.AddressFamily;
            return isTaken && (IPAddress.IsLoopback(named) || sources.IsOwnAddress(named));
        }

        if (Is(host, "localhost") || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase))
        {
            return takesAll || ip.Address.Equals(IPAddress.Loopback) || ip.Address.Equals(IPAddress.IPv6Loopback);
        }

        // Machines resolve their own name to different addresses, but never to another machine.
        return IsOwnName(host, sources.HostName) && !IPAddress.IsLoopback(ip.Address);
    }

    private static bool IsOwnName(string host, string own) => Is(host, own) || Is(host, Short(own)) || Is(host, Short(own) + ".local");

    private static string Short(string name) => name.Split('.')[0];

    private static bool Is(string host, string name) => host.Equals(name, StringComparison.OrdinalIgnoreCase);
}
