using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http.Knowledge;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Chat;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;
using Proxy.Routes;
using Proxy.Store;
using Proxy.VectorRoutes;

namespace Proxy.Composition.Features;

/// <summary>Workspaces of documents: how they are filled and searched, and the route that grounds chats in them.</summary>
internal static class KnowledgeFeature
{
    public static void Add(PartsBuilder parts)
    {
        var config = parts.Config.Knowledge;
        parts.FixedSettings.Add(new("[knowledge]", static file => file.Knowledge with { Embedders = [], Listed = [] }));
        parts.FixedSettings.Add(new("[knowledge] embedder", static file => string.Join('\n', file.Knowledge.Embedders)));
        parts.FixedSettings.Add(new("[knowledge] listed", static file => string.Join('\n', file.Knowledge.Listed)));
        if (parts.Knowledge is null) // else it is over documents that were opened before
        {
            var analyzer = new TextAnalyzer();
            var store = parts.Documents ?? (config.Enabled ? KnowledgeStores.Create(parts.Config, analyzer, parts.Exchange.Time) : null);
            if (store is not null) AddStore(parts, store, analyzer);
        }

        if (parts.Knowledge is { } knowledge) AddRoutes(parts, knowledge.Access);
        else parts.Exchange.Refuses.Add(RefuseWishes);
        parts.Endpoints.AddRange(new KnowledgeEndpoints(parts.Knowledge, config, parts.Errors, parts.Exchange).Rows);
        var absent = parts.Knowledge is null ? KnowledgeParts.Absent(config) : "";
        parts.AdminRows.AddRange(new KnowledgeAdmin(parts.Knowledge, absent, config, parts.Exchange.Time).AdminRows);
    }

    private static void AddStore(PartsBuilder parts, IKnowledgeStore store, ITextAnalyzer analyzer)
    {
        // Calls of the proxy itself, not of a client: no one waits for their answers under an id.
        var hosts = new VectorHosts(parts.Directory, parts.Dispatcher, new OpenAiChatBackendDialect(), parts.Exchange.Log);
        var models = new VectorModels(hosts, new CallInfo("knowledge", "knowledge", KnowledgeCaller.LocalOwner));
        var (config, here, log) = (parts.Config.Knowledge, parts.Directory.Embedders, parts.Exchange.Log);
        var knowledge = KnowledgeParts.Make(store, models, config, here, analyzer, log, parts.Exchange.Time);
        parts.Owned.Push(knowledge);
        parts.Knowledge = knowledge;
        // A database server's documents are read by all proxies that share it.
        var locked = parts.Config.Store is { Kind: "postgres" } ? null : config.Folder;
        parts.Alone.Add(cancellation => IngestLock.HoldAsync(locked, knowledge.Ingest.RunAsync, parts.Exchange.Time, cancellation));
    }

    /// <summary>Adds the route that answers chats from documents, and lists its pairs of models and workspaces.</summary>
    private static void AddRoutes(PartsBuilder parts, WorkspaceAccess knowledge)
    {
        var metrics = new RagMetrics(parts.Exchange.Metrics, parts.Exchange.Time);
        knowledge.Searches.Timed += metrics.Timed;
        parts.ChatRoutes.Add(new RagRoute(knowledge, owner => CallerOf(parts, owner), parts.Direct, model => ContextOf(parts, model), metrics));
        if (parts.Config.Knowledge.Listed is { Count: > 0 } listed) parts.Catalog.PairsOf = owner => PairsOfAsync(parts, knowledge, listed, owner);
    }

    /// <summary>The pairs of which the owner may use every workspace; all of them for the operator, and none while the store cannot be read.</summary>
    private static async ValueTask<IReadOnlyList<string>> PairsOfAsync(
        PartsBuilder parts, WorkspaceAccess knowledge, IReadOnlyList<string> listed, string? owner)
    {
        if (owner is null) return listed;
        try
        {
            var usable = await knowledge.ListAsync(CallerOf(parts, owner), CancellationToken.None);
            return [.. listed.Where(pair => pair[(pair.LastIndexOf('#') + 1)..].Split(',', StringSplitOptions.TrimEntries)
                .All(name => usable.Any(workspace => workspace.Name == name || workspace.Id == name)))];
        }
        catch (KnowledgeStoreException)
        {
            return [];
        }
    }

    /// <summary>The error if headers say how to search documents, of which there are none.</summary>
    private static ProxyError? RefuseWishes(CallInfo info) => info.Wishes?.Rag is { } rag
        ? new(ProxyErrorKind.InvalidRequest, $"{rag.First} asks for a search in documents: {RouteTable.NoKnowledge}") { Param = rag.First }
        : null;

    /// <summary>
    /// The least context, in tokens, with which the backends of a model run it. An Ollama host runs a model with as much as a call needs, up to the model's
    /// limit. Null if it is not known.
    /// </summary>
    private static int? ContextOf(PartsBuilder parts, string model) =>
        parts.Directory.Table.Resolve(model) is not { } resolution ? null
        : resolution.Candidates.Min(backend => backend.Config.Options.NumCtx
            ?? (backend.Learned(resolution.Served) is not { } known ? null
                : (backend.IsOllama ? known.ContextLimit : null) ?? known.ContextLength ?? known.ContextLimit));

    /// <summary>What the caller of this name may use, by the keys of the running configuration.</summary>
    public static KnowledgeCaller CallerOf(PartsBuilder parts, string owner)
    {
        foreach (var key in parts.Directory.Table.Config.Auth.Keys)
        {
            if (key.Name == owner) return new(owner, key.Admin, key.Workspaces);
        }

        return new(owner, false, []);
    }
}
