using Proxy.Streams;

namespace Proxy.Cache;

/// <summary>Keeps complete answers: in memory at once, and then in the database if there is one.</summary>
internal sealed class AnswerKeeper(ExactCache memory, StoredAnswers stored, TimeSpan ttl, TimeProvider time)
{
    /// <inheritdoc cref="ExactCache.Longest"/>
    public long Longest => memory.Longest;

    /// <param name="key">The key of the answer.</param>
    /// <param name="lines">The answer's events in the event schema, which are copied.</param>
    public CachedAnswer Keep(CacheKey key, ReadOnlySpan<byte> lines)
    {
        var answer = new CachedAnswer(lines.ToArray(), time.GetUtcNow() + ttl);
        memory.Add(key, answer);
        return answer;
    }

    /// <summary>Removes an answer whose call failed at its end.</summary>
    public void Forget(CacheKey key, CachedAnswer answer) => memory.Remove(key, answer);

    /// <summary>Writes an answer to the database, without waiting for it.</summary>
    /// <param name="key">The key of the answer.</param>
    /// <param name="model">The model that was asked for.</param>
    /// <param name="served">The model that answered.</param>
    /// <param name="answer">The answer.</param>
    public void Save(CacheKey key, string model, string served, CachedAnswer answer)
    {
        if (stored.Takes) stored.Save(() => CompletionRows.Of(key, model, served, answer, time.GetUtcNow()));
    }
}
