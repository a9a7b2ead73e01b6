using System.Globalization;
using System.IO.Enumeration;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Vectors;

namespace Proxy.Cache.Semantic;

/// <summary>The workspaces that a call is to be grounded in, with their versions, as one text; empty: it has none. Null: they cannot be told.</summary>
internal delegate ValueTask<string?> DocumentsOf(RoutedCall call, CancellationToken cancellation);

/// <summary>
/// Answers a question with the answer to one that means the same. Both must have the same words (<see cref="QuestionWords"/>), in the same scope
/// (<see cref="SemanticQuestion"/>), and vectors that are near each other; whatever fails is a miss. Answers live in the database, where several proxies share
/// them.
/// </summary>
/// <param name="config">The <c>[cache]</c> section.</param>
/// <param name="anonymous">The name of callers without a key, who have no cache of their own.</param>
/// <param name="stored">The answers in the database.</param>
/// <param name="embedder">The model that makes vectors; null: there is none, and no question is answered.</param>
/// <param name="documents">Tells what workspaces a call uses.</param>
/// <param name="time">The clock.</param>
internal sealed class SemanticCache(
    CacheConfig config, string anonymous, StoredAnswers stored, Func<IEmbedder?> embedder, DocumentsOf documents, TimeProvider time)
{
    /// <summary>
    /// The least cosine. Questions with the same words are above it unless the vectors say that they differ after all; it is no measure of sameness by itself.
    /// </summary>
    public const double LeastCosine = 0.8;

    /// <summary>The questions of the calls that were looked up and not found.</summary>
    private readonly ConditionalWeakTable<ChatCall, SemanticQuestion> missed = [];
    private long hits, misses;

    /// <summary>The answer to an earlier question that meant the same; null if there is none or the call does not take part.</summary>
    public async ValueTask<ChatAnswer?> AnswerAsync(RoutedCall routed, CancellationToken cancellation)
    {
        var info = routed.Call.Info;
        if (!MayTakePart(routed) || embedder() is not { } model) return null;
        if (await documents(routed, cancellation) is not { } grounds || SemanticQuestion.Of(routed, OwnerOf(info), grounds) is not { } question) return null;
        var row = await stored.FindQuestionAsync(question.Scope, question.Words, cancellation);
        if (row is null || await CosineAsync(model, question.Text, row.Vector, cancellation) is not { } cosine || cosine < LeastCosine)
        {
            if (info.Cache is null or "bypass") info.Cache = "miss";
            missed.Add(routed.Call, question);
            Interlocked.Increment(ref misses);
            return null;
        }

        Interlocked.Increment(ref hits);
        info.Cache = string.Create(CultureInfo.InvariantCulture, $"semantic; similarity={cosine:0.000}");
        return new ChatAnswer.Events(new CachedAnswer(row.Events, row.ExpiresAt).Replay().ToAsyncEnumerable(), null, null) { By = CachedCalls.Name };
    }

    /// <summary>Collects the answer of a question that was looked up and not found.</summary>
    public void Follow(FollowedCall call, List<IFrameTap> taps, List<IEndGate> gates)
    {
        if (call.IsAnswered || !missed.TryGetValue(call.Routed.Call, out var question) || embedder() is not { } model) return;
        var keeper = new QuestionKeeper(question, OwnerOf(call.Info), model, stored, config.Ttl, time);
        var collector = new AnswerCollector(new(question.Scope, ""), call.Routed.Model, keeper);
        taps.Add(collector);
        gates.Add(collector);
    }

    public IEnumerable<Gauge> Measure() =>
    [
        new("proxy_semantic_cache_hits_total", "Questions answered with the answer to one that meant the same.", "", Volatile.Read(ref hits)),
        new("proxy_semantic_cache_misses_total", "Questions that the semantic cache could not answer.", "", Volatile.Read(ref misses)),
    ];

    /// <summary>The vector of a question, of length 1; null if the model cannot make it now.</summary>
    public static async ValueTask<float[]?> VectorAsync(IEmbedder model, string text, bool isBackground, CancellationToken cancellation)
    {
        var request = new EmbedRequest([new(text)]) { Normalize = true, Prompt = PromptKind.Query, IsBackground = isBackground };
        var (vectors, _) = await model.EmbedAsync(request, cancellation);
        return vectors is { Count: 1 } ? vectors[0].ToArray() : null;
    }

    private static async ValueTask<double?> CosineAsync(IEmbedder model, string text, byte[] other, CancellationToken cancellation)
    {
        if (await VectorAsync(model, text, isBackground: false, cancellation) is not { } vector || other.Length != vector.Length * sizeof(float)) return null;
        var sum = 0.0;
        for (var i = 0; i < vector.Length; i++) sum += vector[i] * MemoryMarshal.Cast<byte, float>(other)[i];
        return sum;
    }

    private string OwnerOf(CallInfo info) => config.Shared ? "" : info.Owner;

    /// <summary>What can be said without parsing the request.</summary>
    private bool MayTakePart(in RoutedCall routed)
    {
        var (call, info) = (routed.Call, routed.Call.Info);
        if (info.Wishes?.Cache is "bypass" || (!config.Shared && info.Owner == anonymous) || routed.Pipeline is not null) return false;
        // Two messages at most, a system prompt and a question; a question is short, but a system prompt need not be.
        if (call.Envelope.Messages is null or 0 or > 4 || call.OriginalBody is not { } body || call.IsLongToParse) return false;
        if (config.Shared && JsonStructure.IsAmbiguous(body)) return false;
        return Matches(config.Semantic, info.Owner) || (routed.Workspace is { } workspace && Matches(config.SemanticWorkspaces, workspace));
    }

    private static bool Matches(IReadOnlyList<string> patterns, string name)
    {
        foreach (var pattern in patterns)
        {
            if (FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false)) return true;
        }

        return false;
    }
}

/// <summary>Writes the answer of one question to the database, with the question's vector.</summary>
internal sealed class QuestionKeeper(
    SemanticQuestion question, string owner, IEmbedder model, StoredAnswers stored, TimeSpan ttl, TimeProvider time) : IAnswerKeeper
{
    public long Longest => 1 << 20;

    public CachedAnswer Keep(CacheKey key, ReadOnlySpan<byte> lines) => new(lines.ToArray(), time.GetUtcNow() + ttl);

    public void Forget(CacheKey key, CachedAnswer answer)
    {
    }

    public void Save(CacheKey key, string model, string served, CachedAnswer answer)
    {
        if (stored.Takes) stored.Save(() => RowAsync(answer));
    }

    private async ValueTask<StoreRow?> RowAsync(CachedAnswer answer)
    {
        if (await SemanticCache.VectorAsync(model, question.Text, isBackground: true, CancellationToken.None) is not { } vector) return null;
        return new SemanticRow
        {
            Scope = question.Scope, RequestId = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(question.Text))), Owner = owner,
            Vector = MemoryMarshal.AsBytes(vector.AsSpan()).ToArray(), Words = question.Words, Events = answer.Lines, CreatedAt = time.GetUtcNow(),
            ExpiresAt = answer.ExpiresAt,
        };
    }
}
