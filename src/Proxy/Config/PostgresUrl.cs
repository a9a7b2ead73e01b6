using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Proxy.Config;

/// <summary>
/// PostgreSQL's address as its own programs write it: <c>postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE</c>. Several hosts are separated by commas; a
/// folder of unix sockets is the parameter <c>host</c>. A text without a scheme is a connection string (<c>Host=…;Username=…</c>) and passed on as it is.
/// </summary>
internal static class PostgresUrl
{
    /// <summary>libpq's names of the parameters, and those of a connection string.</summary>
    private static readonly Dictionary<string, string> Parameters = new(StringComparer.Ordinal)
    {
        ["host"] = "Host",
        ["port"] = "Port",
        ["dbname"] = "Database",
        ["user"] = "Username",
        ["password"] = "Password",
        ["passfile"] = "Passfile",
        ["sslmode"] = "SSL Mode",
        ["sslrootcert"] = "Root Certificate",
        ["sslcert"] = "SSL Certificate",
        ["sslkey"] = "SSL Key",
        ["sslpassword"] = "SSL Password",
        ["sslnegotiation"] = "SSL Negotiation",
        ["channel_binding"] = "Channel Binding",
        ["connect_timeout"] = "Timeout",
        ["application_name"] = "Application Name",
        ["target_session_attrs"] = "Target Session Attributes",
        ["keepalives_idle"] = "TCP KeepAlive Time",
        ["keepalives_interval"] = "TCP KeepAlive Interval",
        ["options"] = "Options",
    };

    private static readonly string[] Modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

    /// <param name="text">The address.</param>
    /// <param name="settings">Names and values of a connection string; empty if <paramref name="text"/> is one itself.</param>
    /// <param name="problem">What to write instead. It never shows the password.</param>
    public static bool TryParse(string text, out IReadOnlyDictionary<string, string> settings, [NotNullWhen(false)] out string? problem)
    {
        var found = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        settings = found;
        var scheme = text.IndexOf("://", StringComparison.Ordinal);
        problem = scheme >= 0 ? ReadUrl(text[..scheme], text[(scheme + 3)..], found)
            : text.Contains('=', StringComparison.Ordinal) ? null
            : "is not PostgreSQL's address; write \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"";
        return problem is null;
    }

    private static string? ReadUrl(string scheme, string rest, Dictionary<string, string> found)
    {
        if (scheme is not ("postgres" or "postgresql")) return $"\"{scheme}://\" is not PostgreSQL; write \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"";

        var question = rest.IndexOf('?', StringComparison.Ordinal);
        var query = question < 0 ? "" : rest[(question + 1)..];
        if (question >= 0) rest = rest[..question];
        // A password may hold an "@" or a "/" that was not escaped; a host cannot.
        var at = rest.LastIndexOf('@');
        if (at >= 0) ReadUser(rest[..at], found);
        rest = rest[(at + 1)..];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (slash >= 0 && slash < rest.Length - 1) found["Database"] = Uri.UnescapeDataString(rest[(slash + 1)..]);
        return ReadHosts(slash < 0 ? rest : rest[..slash], found) ?? ReadQuery(query, found);
    }

    private static void ReadUser(string text, Dictionary<string, string> found)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        found["Username"] = Uri.UnescapeDataString(colon < 0 ? text : text[..colon]);
        if (colon >= 0) found["Password"] = Uri.UnescapeDataString(text[(colon + 1)..]);
    }

    private static string? ReadHosts(string text, Dictionary<string, string> found)
    {
        if (text.Length == 0) return null;
        foreach (var host in text.Split(','))
        {
            var colon = host.LastIndexOf(':');
            if (colon <= host.LastIndexOf(']')) continue; // an IPv6 address stands in brackets
            if (!int.TryParse(host.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port is 0 or > 65535)
                return $"\"{host[(colon + 1)..]}\" is not a port; a password with one of the characters @ / ? : needs them as %40 %2F %3F %3A";
        }

        found["Host"] = Uri.UnescapeDataString(text);
        return null;
    }

    private static string? ReadQuery(string query, Dictionary<string, string> found)
    {
        foreach (var pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? pair : pair[..equals];
            var value = equals < 0 ? "" : Uri.UnescapeDataString(pair[(equals + 1)..]);
            if (!Parameters.TryGetValue(name, out var setting))
                return $"the parameter \"{name}\" is not known; write {SectionReader.NoneOf(name, [.. Parameters.Keys])}";
            if (name is "sslmode" && !Modes.Contains(value)) return $"sslmode=\"{value}\" is not known; write {SectionReader.NoneOf(value, Modes)}";
            // "system" means the machine's authorities, which are used when no file is named.
            if (name is not "sslrootcert" || value is not "system") found[setting] = name is "sslmode" or "target_session_attrs" ? Words(value) : value;
        }

        // As in libpq: who names an authority wants it checked.
        if (found.ContainsKey("Root Certificate") && found.GetValueOrDefault("SSL Mode") is "Require") found["SSL Mode"] = "VerifyCA";
        return null;
    }

    /// <summary>A connection string writes <c>VerifyCA</c> for <c>verify-ca</c>, and <c>read-write</c> as it is.</summary>
    private static string Words(string value) => value switch
    {
        "disable" => "Disable",
        "allow" => "Allow",
        "prefer" => "Prefer",
        "require" => "Require",
        "verify-ca" => "VerifyCA",
        "verify-full" => "VerifyFull",
        _ => value,
    };
}
