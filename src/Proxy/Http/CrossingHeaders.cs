namespace Proxy.Http;

/// <summary>Which of a client's headers cross to a host: what says what is accepted, and what the vendors' own APIs read. Never a credential.</summary>
internal static class CrossingHeaders
{
    public static IReadOnlyList<KeyValuePair<string, string>> Of(HttpRequest request)
    {
        var crossing = new List<KeyValuePair<string, string>>(2);
        foreach (var (name, value) in request.Headers)
        {
            if (Crosses(name)) crossing.Add(KeyValuePair.Create(name, value.ToString()));
        }

        return crossing;
    }

    private static bool Crosses(string name) => name.Length switch
    {
        6 => name.Equals("accept", StringComparison.OrdinalIgnoreCase),
        10 => name.Equals("user-agent", StringComparison.OrdinalIgnoreCase),
        _ => name.StartsWith("anthropic-", StringComparison.OrdinalIgnoreCase) || name.StartsWith("openai-", StringComparison.OrdinalIgnoreCase),
    };
}
