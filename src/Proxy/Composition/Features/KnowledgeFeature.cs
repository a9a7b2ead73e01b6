using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http.Knowledge;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;
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
        var analyzer = new TextAnalyzer();
        if (!config.Enabled || KnowledgeStores.Create(parts.Config, analyzer, parts.Exchange.Time) is not { } store)
        {
            parts.AdminRows.AddRange(new KnowledgeAdmin(null, KnowledgeParts.Absent(config), config, parts.Exchange.Time).AdminRows);
            return;
        }

        // Calls of the proxy itself, not of a client: no one waits for their answers under an id.
        var hosts = new VectorHosts(parts.Directory, parts.Dispatcher, new OpenAiChatBackendDialect(), parts.Exchange.Log);
        var models = new VectorModels(hosts, new CallInfo("knowledge", "knowledge", KnowledgeCaller.LocalOwner));
        var knowledge = KnowledgeParts.Make(store, models, config, parts.Directory.Embedders, analyzer, parts.Exchange.Log, parts.Exchange.Time);
        parts.Owned.Push(knowledge);
        parts.Knowledge = knowledge;
        parts.AdminRows.AddRange(new KnowledgeAdmin(knowledge, "", config, parts.Exchange.Time).AdminRows);
        parts.Background.Add(cancellation => IngestLock.HoldAsync(config.Folder, knowledge.Ingest.RunAsync, parts.Exchange.Time, cancellation));
    }

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
