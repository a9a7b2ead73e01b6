using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// What a client's headers say to us, and which of them cross to a host, found in one pass. They cross by name: what says what is accepted, and what the vendors' own APIs read. Never a credential.
/// </summary>
internal struct ClientHeaders
{
    private static readonly System.Buffers.SearchValues<char> SessionCharacters = System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:@+=");

    public string? CorrelationId;
    public string? RequestId;
    public string? TraceParent;
    public string? TraceState;
    public string? Workspace;
    public string? Pipeline;
    public string? Route;
    public string? Session;
    public string? Via;
    public List<KeyValuePair<string, string>> Crossing;

    public static ClientHeaders Of(IHeaderDictionary headers)
    {
        var said = new ClientHeaders { Crossing = new(2) };
        if (headers is IFieldList list)
        {
            foreach (ref readonly var field in list.Fields) said.Take(field.Key, field.Value);
            return said;
        }

        foreach (var (name, values) in headers) said.Take(name, values);
        return said;
    }

    private void Take(string name, Microsoft.Extensions.Primitives.StringValues values)
    {
        switch (name.Length)
        {
            case 3 when Is(name, "via"):
                Via = Wish(values);
                break;
            case 6 when Is(name, "accept"):
            case 10 when Is(name, "user-agent"):
                Crossing.Add(new(name, values.ToString()));
                break;
            case 7 when Is(name, "x-route"):
                Route = Wish(values);
                break;
            case 10 when Is(name, "tracestate"):
                TraceState = Id(values);
                break;
            case 10 when Is(name, "x-pipeline"):
                Pipeline = Wish(values);
                break;
            case 11 when Is(name, "traceparent"):
                TraceParent = Id(values) is { } given && TraceParents.IsValid(given) ? given : null;
                break;
            case 11 when Is(name, "x-workspace"):
                Workspace = Wish(values);
                break;
            case 12 when Is(name, "x-request-id"):
                RequestId = Id(values);
                break;
            case 12 when Is(name, "x-session-id"):
                Session = SessionId(values) ?? Session;
                break;
            // What agents call it by themselves: Codex, opencode, Claude Code. The general name goes before.
            case 10 when Is(name, "session-id") || Is(name, "session_id"):
            case 18 when Is(name, "x-session-affinity") || Is(name, "x-opencode-session"):
            case 24 when Is(name, "x-claude-code-session-id"):
                Session ??= SessionId(values);
                break;
            case 16 when Is(name, "x-correlation-id"):
                CorrelationId = Id(values);
                break;
            case > 7 when name[0] is 'a' or 'A' or 'o' or 'O' && (name.StartsWith("anthropic-", StringComparison.OrdinalIgnoreCase) || name.StartsWith("openai-", StringComparison.OrdinalIgnoreCase)):
                Crossing.Add(new(name, values.ToString()));
                break;
        }
    }

    private static bool Is(string name, string other) => name.Equals(other, StringComparison.OrdinalIgnoreCase);

    /// <summary>What a client asks for, whatever it is: what cannot be given is refused, and only what was never said is ignored.</summary>
    private static string? Wish(Microsoft.Extensions.Primitives.StringValues values) => values.ToString() is { Length: > 0 } wish ? wish : null;

    /// <summary>A conversation's id, if it is one that can stand in a header, a log and a file's name: letters, digits and a few signs. Another is as if it had not been said.</summary>
    private static string? SessionId(Microsoft.Extensions.Primitives.StringValues values)
    {
        var id = values.ToString();
        return id.Length is > 0 and <= 128 && !id.AsSpan().ContainsAnyExcept(SessionCharacters) ? id : null;
    }

    /// <summary>A client's id, if it is one that can stand in a header and a log: short, visible ASCII.</summary>
    private static string? Id(Microsoft.Extensions.Primitives.StringValues values)
    {
        var id = values.ToString();
        return id.Length is > 0 and <= 256 && id.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0 ? id : null;
    }
}
