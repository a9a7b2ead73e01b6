using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Proxy.Config;

/// <summary>
/// One entry of <c>listen</c>: an IP address with a port (0 = any free one), or the absolute path of a unix socket. Exactly one of the two is set.
/// </summary>
internal sealed record ListenAddress
{
    private const string UnixScheme = "unix:";

    public IPEndPoint? Ip { get; private init; }

    public string? UnixPath { get; private init; }

    /// <summary>True if only this machine can reach it: loopback addresses and unix sockets.</summary>
    public bool IsLocal => Ip is null || IPAddress.IsLoopback(Ip.Address);

    /// <summary>
    /// Parses <c>host:port</c>, <c>[v6]:port</c>, <c>unix:/path</c>. The host is an IP address or <c>localhost</c>, which means 127.0.0.1; other names are
    /// refused,
    /// because name resolution must not decide whether other machines can connect.
    /// </summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ListenAddress? address, [NotNullWhen(false)] out string? problem)
    {
        (address, problem) = Parse(text);
        return address is not null;
    }

    /// <summary>The loopback address with this port; null if the number is not a port.</summary>
    public static string? OfPort(long port) => port is > 0 and <= ushort.MaxValue ? $"127.0.0.1:{port}" : null;

    public override string ToString() => Ip?.ToString() ?? UnixScheme + UnixPath;

    private static (ListenAddress? Address, string? Problem) Parse(string text)
    {
        if (text.StartsWith(UnixScheme, StringComparison.Ordinal))
            return text[UnixScheme.Length..] switch
            {
                ['/', _, ..] path when path.Length <= LongestUnixPath => (new() { UnixPath = path }, null),
                ['/', _, ..] => (null, $"the path of a unix socket has at most {LongestUnixPath} characters"),
                _ => (null, "write the absolute path of a unix socket, such as \"unix:/run/proxy/http.sock\""),
            };

        if (text.Contains("://", StringComparison.Ordinal))
            return (null, "write an address, not a URL, such as \"127.0.0.1:11435\"; TLS is turned on by [server.tls]");

        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && OfPort(number) is { } meant)
            return (null, $"the host is missing; write \"{meant}\"");

        var colon = text.LastIndexOf(':');
        var host = colon < 0 ? text : text[..colon];
        if (colon < 0 || IPAddress.TryParse(text, out _) && !text.Contains('.', StringComparison.Ordinal) && !text.StartsWith('['))
            return (null, "the port is missing; write \"127.0.0.1:11435\" or \"[::1]:11435\"");
        if (!ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port))
            return (null, "the port is a number from 0 (any free one) to 65535");

        var ip = host switch
        {
            "localhost" => IPAddress.Loopback,
            ['[', .. var v6, ']'] when v6.Contains(':', StringComparison.Ordinal) && IPAddress.TryParse(v6, out var parsed) => parsed,
            _ when !host.Contains(':', StringComparison.Ordinal) && host.Count(c => c == '.') == 3 && IPAddress.TryParse(host, out var parsed) => parsed,
            _ => null,
        };
        return ip is not null
            ? (new() { Ip = new IPEndPoint(ip, port) }, null)
            : (null, "the host is an IP address or localhost; \"0.0.0.0\" means every IPv4 address of this machine, \"[::]\" every address");
    }

    /// <summary>sockaddr_un holds 108 bytes, the last of which is zero.</summary>
    public const int LongestUnixPath = 107;
}
