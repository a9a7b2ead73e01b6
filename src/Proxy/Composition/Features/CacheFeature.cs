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
        var calls = new CachedCalls(
            config, Caller.AnonymousName, new ExactCache(config.Size, time), new StoredAnswers(() => parts.Store, parts.Exchange.Log, time), time);
        parts.Exchange.Refuses.Add(calls.Refuse);
        parts.Exchange.Early.Add(calls.AnswerAsync);
        parts.Exchange.Follow.Add(calls.Follow);
        parts.Exchange.Metrics.Add(calls.Measure);
    }
}
