using System.Globalization;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Knowledge;

namespace Proxy.Http.Knowledge;

/// <summary>A call to files and workspaces, with what it needs to be answered.</summary>
/// <param name="Scope">The call.</param>
/// <param name="Parts">The objects of knowledge.</param>
/// <param name="Caller">What the caller may use.</param>
/// <param name="Ids">The variable parts of the path, in its order.</param>
/// <param name="Form">The JSON of the request; without members if there is none.</param>
internal sealed record KnowledgeCall(CallScope Scope, KnowledgeParts Parts, KnowledgeCaller Caller, IReadOnlyList<string> Ids, JsonForm Form)
{
    /// <summary>The range of the time after which a client asks again whether a file has been read.</summary>
    private const long LeastPause = 100, MostPause = 1000;

    public WorkspaceAccess Access => Parts.Access;

    public IKnowledgeStore Store => Parts.Store;

    public IQueryCollection Query => Scope.Context.Request.Query;

    public CancellationToken Cancellation => Scope.Cancellation;

    /// <summary>The workspace that the path names by its id or its name.</summary>
    /// <param name="changes">Whether the call changes it. Those that were made on the command line may be searched by all keys, but not changed.</param>
    public async ValueTask<(Workspace? Found, ProxyError? Problem)> WorkspaceAsync(bool changes = false)
    {
        var (found, problem) = await Access.FindAsync(Caller, Ids[0], "vector_store_id", Cancellation);
        if (problem is { Kind: ProxyErrorKind.UnknownWorkspace })
            problem = problem with { Message = $"No vector store found with id '{ModelName.Shown(Ids[0])}'." };
        if (found is null || !changes || Caller.MayChange(found)) return (found, problem);
        return (null, new(ProxyErrorKind.Forbidden, $"this key may search the workspace '{ModelName.Shown(Ids[0])}', but not change it: "
            + "its section needs the name in `workspaces`") { Param = "vector_store_id" });
    }

    /// <summary>A file of the caller.</summary>
    public async ValueTask<(KnowledgeFile? Found, ProxyError? Problem)> FileAsync(string id, string param)
    {
        var (found, problem) = await Access.FileAsync(Caller, id, param, Cancellation);
        return problem is { Kind: ProxyErrorKind.UnknownFile } ? (null, NoFile(id, param)) : (found, problem);
    }

    public static ProxyError NoFile(string id, string param) =>
        new(ProxyErrorKind.UnknownFile, $"No such File object: {ModelName.Shown(id)}") { Param = param };

    /// <summary>Answers with JSON.</summary>
    public async ValueTask<ProxyError?> AnswerAsync(Action<Utf8JsonWriter> write)
    {
        using var body = new PooledBody();
        await using (var json = WireJson.NewWriter(body)) write(json);
        await Exchange.WriteAsync(Scope, "application/json", body);
        return null;
    }

    /// <summary>
    /// Answers with the state of something that clients wait for. The header tells SDKs when to ask again: soon at first, once a second in the end.
    /// </summary>
    public ValueTask<ProxyError?> AnswerStateAsync(DateTimeOffset since, TimeProvider time, Action<Utf8JsonWriter> write)
    {
        var pause = Math.Clamp((long)(time.GetUtcNow() - since).TotalMilliseconds / 10, LeastPause, MostPause);
        Scope.Context.Response.Headers["openai-poll-after-ms"] = pause.ToString(CultureInfo.InvariantCulture);
        return AnswerAsync(write);
    }
}
