using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Embeddings;

namespace Proxy.VectorRoutes;

/// <summary>
/// The texts of a call to embed, or a part of them, for the host that the dispatcher picks. A client's body is parsed only if it has to be written anew for
/// that host.
/// </summary>
internal sealed class EmbeddingHostCall(VectorHosts hosts, VectorCall call, EmbeddingCall? asked) : HostCall<EmbeddingReply>(hosts, call)
{
    private static readonly OpenAiEmbeddingsBackendDialect OpenAi = new();
    private static readonly OllamaEmbedBackendDialect Ollama = new();
    private static readonly TeiEmbedBackendDialect Tei = new();

    private EmbeddingBackendDialect? host;

    /// <summary>The client's dialect; null for a call made inside this process.</summary>
    public EmbeddingClientDialect? Client { get; init; }

    /// <summary>Only some of the client's inputs are sent, so its bytes cannot be forwarded.</summary>
    public bool IsPart { get; init; }

    public EmbeddingCall? Asked => asked;

    /// <summary>
    /// Whether the host accepts the client's own bytes. A TEI host serves OpenAI's path too, even if the backend's <c>dialects</c> do not list it.
    /// </summary>
    public static bool IsNative(EmbeddingClientDialect client, Backend backend) =>
        backend.FamilyNames.Any(family => family == client.Family || (family is "tei" && client.Family is "openai"));

    public override EmbeddingReply? Read(ReadOnlySpan<byte> answer) =>
        host!.Read(answer) is { } said && said.Vectors.Count == asked!.Request.Inputs.Count ? said : null;

    protected override string? PathAt(Backend backend) => !IsPart && Client is not null && IsNative(Client, backend) ? Call.Path + Call.Query : null;

    protected override ProxyError? Write(Backend backend, string served, PooledBody body, List<string> lost, out string path)
    {
        path = "";
        host = Client is { Family: "openai" } && IsNative(Client, backend)
            ? OpenAi
            : backend.FamilyNames.Select(Of).FirstOrDefault(static known => known is not null);
        if (host is null) return CannotAsk(backend, $"backend '{backend.Name}' does not embed in any dialect that this proxy can speak");
        if (asked is null && Client!.Read(Call.Body.Span, out asked) is { } wrong) return wrong;
        if (host.Unsayable(asked!) is { } unsayable) return unsayable;
        path = host.Path;
        host.WriteRequest(asked!, served, body, lost);
        return null;
    }

    private static EmbeddingBackendDialect? Of(string family) => family switch { "openai" => OpenAi, "ollama" => Ollama, "tei" => Tei, _ => null };
}
