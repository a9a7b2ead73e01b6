using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;
using Proxy.Telemetry;

namespace Proxy.Cache;

/// <summary>
/// Answers calls from the cache. Decides which calls take part, looks their answers up before their route is asked, and collects the answers of those that were
/// not found.
/// </summary>
/// <param name="config">The <c>[cache]</c> section.</param>
/// <param name="anonymous">The name of callers without a key.</param>
/// <param name="memory">The answers in memory.</param>
/// <param name="stored">The answers in the database.</param>
/// <param name="time">The clock.</param>
internal sealed class CachedCalls(CacheConfig config, string anonymous, ExactCache memory, StoredAnswers stored, TimeProvider time)
{
    /// <summary>The name in the log for what answered.</summary>
    public const string Name = "cache";

    private const string Hit = "hit", Miss = "miss", Bypass = "bypass";

    private readonly AnswerKeeper keeper = new(memory, stored, config.Ttl, time);
    private long hits, misses;

    /// <summary>The error if the value of <c>x-cache</c> is none that there is.</summary>
    public static ProxyError? RefuseValue(string? wish) => wish is null or "use" or Bypass ? null : Refuse($"x-cache is '{wish}'; it can be use or {Bypass}");

    /// <summary>The error for <c>x-cache: use</c> where there is no cache.</summary>
    public static ProxyError? RefuseUse(CallInfo info)
    {
        var wish = info.Wishes?.Cache;
        return RefuseValue(wish) ?? (wish is "use" ? Refuse("x-cache asks for the exact cache, which is not configured on this proxy") : null);
    }

    /// <summary>The error if the call asks for what this cache does not do.</summary>
    public ProxyError? Refuse(CallInfo info)
    {
        if (RefuseValue(info.Wishes?.Cache) is { } wrong) return wrong;
        return info.Wishes?.Cache is "use" && HasNone(info)
            ? Refuse("x-cache asks for the exact cache, of which each API key has its own on this proxy; call with a key, or ask the operator to write shared = true")
            : null;
    }

    /// <summary>The answer of an earlier call that was equal; null if there is none or the call does not take part.</summary>
    public async ValueTask<ChatAnswer?> AnswerAsync(RoutedCall routed, CancellationToken cancellation)
    {
        var info = routed.Call.Info;
        info.Cache = Bypass;
        if (!MayTakePart(routed)) return null;
        if (routed.Call.IsLongToParse) await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        if (!TakesPart(routed) || routed.RequestId() is not { } id) return null;

        var key = KeyOf(info, id);
        if (memory.Find(key) is not { } found)
        {
            if (await stored.FindAsync(key, cancellation) is not { } read)
            {
                info.Cache = Miss;
                Interlocked.Increment(ref misses);
                return null;
            }

            memory.Add(key, found = read);
        }

        info.Cache = Hit;
        Interlocked.Increment(ref hits);
        return new ChatAnswer.Events(found.Replay().ToAsyncEnumerable(), null, null) { By = Name };
    }

    /// <summary>Collects the answer of a call that was looked up and not found.</summary>
    public void Follow(FollowedCall call, List<IFrameTap> taps, List<IEndGate> gates)
    {
        if (call.IsAnswered || call.Info.Cache is not Miss || call.Routed.RequestId() is not { } id) return;
        var collector = new AnswerCollector(KeyOf(call.Info, id), call.Routed.Model, keeper);
        taps.Add(collector);
        gates.Add(collector);
    }

    public IEnumerable<Gauge> Measure() =>
    [
        new("proxy_cache_hits_total", "Calls answered from the exact cache.", "", Volatile.Read(ref hits)),
        new("proxy_cache_misses_total", "Calls that the exact cache could not answer.", "", Volatile.Read(ref misses)),
        new("proxy_cache_bytes", "Memory that the answers in the exact cache take.", "", memory.Bytes),
    ];

    private static ProxyError Refuse(string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = "x-cache" };

    private bool HasNone(CallInfo info) => !config.Shared && info.Owner == anonymous;

    private CacheKey KeyOf(CallInfo info, string id) => new(config.Shared ? "" : info.Owner, id);

    /// <summary>What can be said without parsing the request.</summary>
    private bool MayTakePart(in RoutedCall routed)
    {
        var (call, wish) = (routed.Call, routed.Call.Info.Wishes?.Cache);
        if (wish is Bypass || HasNone(call.Info)) return false;
        // A request without messages loads a model. The documents of a workspace change, and the request does not say so.
        if (call.Envelope.Messages is null or 0 || routed.Workspace is not null || call.OriginalBody is not { } body) return false;
        return wish is "use" || (config.Exact && (body.Span.IndexOf("\"temperature\""u8) >= 0 || body.Span.IndexOf("\"seed\""u8) >= 0));
    }

    private bool TakesPart(in RoutedCall routed)
    {
        // The route says what is wrong with an invalid request.
        if (routed.Call.TryGetRequest(out var request) is not null) return false;
        // A host may read the other one of two members of one name. Its answer to that question must not become everyone's answer to ours.
        if (config.Shared && JsonStructure.IsAmbiguous(routed.Call.OriginalBody!.Value)) return false;
        if (request is not { Choices: null or 1, Prompt: null or { NotOneText: null }, LogProbabilities: not true }) return false;
        return routed.Call.Info.Wishes?.Cache is "use" || request.Sampling is { Temperature: 0 } or { Seed: not null };
    }
}
