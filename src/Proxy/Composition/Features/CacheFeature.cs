using Proxy.Cache;
using Proxy.Cache.Semantic;
using Proxy.Chat;
using Proxy.Http;

namespace Proxy.Composition.Features;

/// <summary>The exact cache: gives the answer to an equal call again.</summary>
internal static class CacheFeature
{
    public static void Add(PartsBuilder parts)
    {
        parts.FixedSettings.Add(new("[cache]", static config => config.Cache));
        if (parts.Config.Cache is not { } config)
        {
            parts.Exchange.Refuses.Add(CachedCalls.RefuseUse);
            return;
        }

        var time = parts.Exchange.Time;
        var memory = new ExactCache(config.Size, time);
        var stored = new StoredAnswers(() => parts.Store, parts.Exchange.Log, time);
        var calls = new CachedCalls(config, Caller.AnonymousName, memory, stored, time);
        parts.Exchange.Refuses.Add(calls.Refuse);
        parts.Exchange.Early.Add(calls.AnswerAsync);
        parts.Exchange.Follow.Add(calls.Follow);
        parts.Exchange.Metrics.Add(calls.Measure);
        parts.Forgets.Add(memory.Remove);
        if (config.Semantic.Count == 0 && config.SemanticWorkspaces.Count == 0) return;

        var semantic = new SemanticCache(config, Caller.AnonymousName, stored, () => parts.Directory.Embedders.FirstEmbedder, DocumentsOf, time);
        parts.Exchange.Early.Add(semantic.AnswerAsync);
        parts.Exchange.Follow.Add(semantic.Follow);
        parts.Exchange.Metrics.Add(semantic.Measure);

        ValueTask<string?> DocumentsOf(RoutedCall call, CancellationToken cancellation) =>
            call.Workspace is null ? new("") : parts.DocumentsOf?.Invoke(call, cancellation) ?? default;
    }
}
