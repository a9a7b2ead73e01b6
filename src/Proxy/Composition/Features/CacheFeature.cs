using Proxy.Cache;
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
        var calls = new CachedCalls(config, Caller.AnonymousName, memory, new StoredAnswers(() => parts.Store, parts.Exchange.Log, time), time);
        parts.Exchange.Refuses.Add(calls.Refuse);
        parts.Exchange.Early.Add(calls.AnswerAsync);
        parts.Exchange.Follow.Add(calls.Follow);
        parts.Exchange.Metrics.Add(calls.Measure);
        parts.Forgets.Add(memory.Remove);
    }
}
