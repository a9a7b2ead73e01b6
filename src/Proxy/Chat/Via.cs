namespace Proxy.Chat;

/// <summary>The <c>Via</c> header (RFC 9110 §7.6.3): the proxies that a request has come through, the first of them first.</summary>
internal static class Via
{
    /// <summary>Proxies that one call may pass through.</summary>
    public const int MostHops = 8;

    /// <summary>Characters; no chain of <see cref="MostHops"/> needs more.</summary>
    private const int Longest = 2048;

    /// <summary>The request has passed through as many proxies as it may, and would now pass through one more.</summary>
    public static bool IsTooFar(string via) => via.Length > Longest || Hops(via) >= MostHops;

    public static int Hops(string? via)
    {
        var hops = 0;
        for (var rest = via.AsSpan(); TryTake(ref rest, out _);) hops++;
        return hops;
    }

    /// <summary>The request has come through the proxy of that id.</summary>
    public static bool Names(string? via, string id)
    {
        for (var rest = via.AsSpan(); TryTake(ref rest, out var name);)
        {
            if (name.Equals(id, StringComparison.OrdinalIgnoreCase)) return true;
        }

        return false;
    }

    /// <summary>The last proxy of our kind that the request has come through: where it asks a question of its own, the one that asks. Null where there is none.</summary>
    public static string? LastProxy(string? via)
    {
        string? last = null;
        for (var rest = via.AsSpan(); TryTake(ref rest, out var name);)
        {
            if (ProxyIdentity.IsId(name)) last = name.ToString();
        }

        return last;
    }

    /// <summary>What a request that came with one value is sent on with.</summary>
    public static string With(string? via, string own) => via is null ? own : $"{via}, {own}";

    /// <summary>Takes the next member: a protocol version, the name of who received the message, perhaps a comment.</summary>
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
