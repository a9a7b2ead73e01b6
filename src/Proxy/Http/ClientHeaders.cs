using Proxy.Chat;
using Proxy.Transport;

namespace Proxy.Http;

/// <summary>
/// The headers of a request that the proxy itself reads, and those that it forwards to a host, collected in one pass. Forwarded headers are an allow-list:
/// Accept, User-Agent, anthropic-*, openai-*. Never credentials.
/// </summary>
internal struct ClientHeaders
{
    private static readonly System.Buffers.SearchValues<char> SessionCharacters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:@+=");

    public string? CorrelationId;
    public string? RequestId;
    public string? TraceParent;
    public string? TraceState;
    public string? Workspace;
    public string? Pipeline;
    public string? Route;
    public string? Session;
    public string? Via;
    public CallWishes? Wishes;
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
            case 7 when Is(name, "x-cache"):
                if (Wish(values) is { } cache) (Wishes ??= new()).Cache = cache;
                break;
            case 8 when Is(name, "x-resume"):
                if (Wish(values) is { } resume) (Wishes ??= new()).Resume = resume;
                break;
            case 9 when Is(name, "x-publish"):
                if (Wish(values) is { } publish) (Wishes ??= new()).Publish = publish;
                break;
            case 15 when Is(name, "idempotency-key"):
                if (values.Count > 0) (Wishes ??= new()).IdempotencyKey = values.ToString(); // an empty key is refused, not ignored
                break;
            case 17 when Is(name, "x-conversation-id"):
                if (Wish(values) is { } conversation) (Wishes ??= new()).ConversationId = conversation;
                break;
            case 23 when Is(name, "x-stainless-retry-count"):
                if (values.ToString() is not ("0" or "")) (Wishes ??= new()).IsRetry = true;
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
            // The session headers of Codex, opencode and Claude Code. x-session-id takes precedence over them.
            case 10 when Is(name, "session-id") || Is(name, "session_id"):
            case 18 when Is(name, "x-session-affinity") || Is(name, "x-opencode-session"):
            case 24 when Is(name, "x-claude-code-session-id"):
                Session ??= SessionId(values);
                break;
            case 16 when Is(name, "x-correlation-id"):
                CorrelationId = Id(values);
                break;
            case > 6 when name[0] is 'x' or 'X' && name.StartsWith(RagWishes.Prefix, StringComparison.OrdinalIgnoreCase):
                if (Wish(values) is { } wish) TakeRag((Wishes ??= new()).Rag ??= new(), name, wish);
                break;
            case > 7 when name[0] is 'a' or 'A' or 'o' or 'O'
                && (name.StartsWith("anthropic-", StringComparison.OrdinalIgnoreCase) || name.StartsWith("openai-", StringComparison.OrdinalIgnoreCase)):
                Crossing.Add(new(name, values.ToString()));
                break;
        }
    }

    private static void TakeRag(RagWishes rag, string name, string wish)
    {
        if (Is(name, "x-rag-top-k")) rag.TopK = wish;
        else if (Is(name, "x-rag-threshold")) rag.Threshold = wish;
        else if (Is(name, "x-rag-filter")) rag.Filter = wish;
        else if (Is(name, "x-rag-rerank")) rag.Rerank = wish;
        else if (Is(name, "x-rag-trace")) rag.Trace = wish;
        else rag.Unknown = name;
    }

    private static bool Is(string name, string other) => name.Equals(other, StringComparison.OrdinalIgnoreCase);

    /// <summary>The value of a routing header. A non-empty routing header is never ignored; an unknown value is refused later.</summary>
    private static string? Wish(Microsoft.Extensions.Primitives.StringValues values) => values.ToString() is { Length: > 0 } wish ? wish : null;

    /// <summary>
    /// The id of a conversation, if it is safe in a header, a log and a file name: at most 128 letters, digits and a few signs. Any other id is ignored.
    /// </summary>
    private static string? SessionId(Microsoft.Extensions.Primitives.StringValues values)
    {
        var id = values.ToString();
        return id.Length is > 0 and <= 128 && !id.AsSpan().ContainsAnyExcept(SessionCharacters) ? id : null;
    }

    /// <summary>A client's id, if it is safe in a header and a log: at most 256 characters of printable ASCII. Any other id is ignored.</summary>
    private static string? Id(Microsoft.Extensions.Primitives.StringValues values)
    {
        var id = values.ToString();
        return id.Length is > 0 and <= 256 && id.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0 ? id : null;
    }
}
