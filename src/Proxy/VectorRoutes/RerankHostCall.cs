using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Rerank;

namespace Proxy.VectorRoutes;

/// <summary>The documents of a call to rerank, or a part of them, for the host that the dispatcher picks.</summary>
internal sealed class RerankHostCall(VectorHosts hosts, VectorCall call, RerankCall asked) : HostCall<HostRanking>(hosts, call)
{
    private static readonly JinaRerankBackendDialect Jina = new();
    private static readonly TeiRerankBackendDialect Tei = new();

    private RerankBackendDialect? host;

    /// <summary>
    /// The client's dialect. Null if no host may get the client's bytes: for a part of a client's call, and for a call made inside this process.
    /// </summary>
    public RerankClientDialect? Client { get; init; }

    public bool HonoursRaw => host!.HonoursRaw;

    /// <summary>Parses an answer in the client's own dialect; null if it is not one.</summary>
    public static HostRanking? ReadVerbatim(RerankClientDialect client, ReadOnlySpan<byte> answer) =>
        client.Family is "tei" ? Tei.Read(answer) : Jina.Read(answer);

    /// <summary>Accepts only an answer with exactly one score for each document.</summary>
    public override HostRanking? Read(ReadOnlySpan<byte> answer)
        => host!.Read(answer) is { } said
            && said.Results.Select(static result => result.Index).Order().SequenceEqual(Enumerable.Range(0, asked.Request.Documents.Count)) ? said : null;

    /// <summary>
    /// A proxy serves every path that we serve. Of the other hosts, only vLLM and its kin serve <c>/score</c>, and few accept documents that are objects.
    /// </summary>
    protected override string? PathAt(Backend backend)
    {
        if (Client is null) return null;
        var isTei = backend.FamilyNames.Contains("tei");
        if (backend.IsProxy && isTei) return Call.Path + Call.Query;
        var isNative = backend.FamilyNames.Contains(Client.Family) && !asked.Objects && (Client.Family is "tei" || !isTei)
            && (Client.Sorts || backend.State.Report?.Kind is not "llama.cpp");
        return isNative ? Client.HostPath + Call.Query : null;
    }

    protected override ProxyError? Write(Backend backend, string served, PooledBody body, List<string> lost, out string path)
    {
        path = "";
        host = backend.FamilyNames.Contains("tei") ? Tei : backend.FamilyNames.Contains("openai") ? Jina : null;
        if (host is null) return CannotAsk(backend, $"backend '{backend.Name}' does not rerank in any dialect that this proxy can speak");
        if (asked.Requests.Count > 1) return CannotAsk(backend, $"backend '{backend.Name}' scores one text against many, not a list of pairs");
        path = host.Path;
        host.WriteRequest(asked, served, body, lost);
        return null;
    }
}
