namespace Proxy.Chat;

/// <summary>The <c>Via</c> header (RFC 9110 §7.6.3): the proxies that a request has passed through, in order.</summary>
internal static class Via
{
    /// <summary>The number of proxies that one call may pass through.</summary>
    public const int MostHops = 8;

    /// <summary>In characters; no chain of <see cref="MostHops"/> proxies needs more.</summary>
    private const int Longest = 2048;

    /// <summary>True if the request has already passed through the maximum number of proxies, so that this one would exceed it.</summary>
    public static bool IsTooFar(string via) => via.Length > Longest || Hops(via) >= MostHops;

    public static int Hops(string? via)
    {
        var hops = 0;
        for (var rest = via.AsSpan(); TryTake(ref rest, out _);) hops++;
        return hops;
    }

    /// <summary>True if the request has passed through the proxy with that id.</summary>
    public static bool Names(string? via, string id)
    {
        for (var rest = via.AsSpan(); TryTake(ref rest, out var name);)
        {
            if (name.Equals(id, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    /// <summary>
    /// The last proxy of this kind that the request has passed through. If the request is a proxy's own query, this is the proxy that asks. Null if there is
    /// none.
    /// </summary>
    public static string? LastProxy(string? via)
    {
        string? last = null;
        for (var rest = via.AsSpan(); TryTake(ref rest, out var name);)
        {
            if (ProxyIdentity.IsId(name)) last = name.ToString();
        }

        return last;
    }

    /// <summary>The value with which a request is forwarded.</summary>
    public static string With(string? via, string own) => via is null ? own : $"{via}, {own}";

    /// <summary>Takes the next entry: a protocol version, the name of the proxy, and possibly a comment.</summary>
    private static bool TryTake(ref ReadOnlySpan<char> rest, out ReadOnlySpan<char> name)
    {
        name = default;
        while (!rest.IsEmpty)
        {
            var comma = rest.IndexOf(',');
            var member = (comma < 0 ? rest : rest[..comma]).Trim();
            rest = comma < 0 ? [] : rest[(comma + 1)..];
            if (member.IsEmpty) continue;
            var space = member.IndexOfAny(' ', '\t');
            name = space < 0 ? [] : member[space..].TrimStart();
            var end = name.IndexOfAny(' ', '\t');
            if (end >= 0) name = name[..end];
            return true;
        }

        return false;
    }
}
