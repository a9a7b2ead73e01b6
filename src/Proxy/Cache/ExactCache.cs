namespace Proxy.Cache;

/// <summary>
/// The answers in memory. When they take more than <paramref name="size"/> bytes, those that were not used for the longest time go. Thread-safe.
/// </summary>
internal sealed class ExactCache(long size, TimeProvider time)
{
    /// <summary>Bytes that an entry takes besides its answer: its key, and its places in the table and in the list.</summary>
    private const int Overhead = 400;

    private readonly Lock gate = new();
    private readonly Dictionary<CacheKey, LinkedListNode<(CacheKey Key, CachedAnswer Answer)>> table = [];
    private readonly LinkedList<(CacheKey Key, CachedAnswer Answer)> recent = []; // the last used one first
    private long bytes;

    /// <summary>The bytes that the answers take.</summary>
    public long Bytes { get { lock (gate) return bytes; } }

    /// <summary>The longest answer, in bytes, that is kept.</summary>
    public long Longest => size - Overhead;

    public CachedAnswer? Find(CacheKey key)
    {
        lock (gate)
        {
            if (!table.TryGetValue(key, out var node)) return null;
            recent.Remove(node);
            if (node.Value.Answer.ExpiresAt <= time.GetUtcNow())
            {
                Forget(node);
                return null;
            }

            recent.AddFirst(node);
            return node.Value.Answer;
        }
    }

    /// <summary>Keeps an answer, in place of an earlier one with the same key.</summary>
    public void Add(CacheKey key, CachedAnswer answer)
    {
        if (answer.Lines.Length > Longest) return;
        lock (gate)
        {
            if (table.TryGetValue(key, out var earlier)) Drop(earlier);
            table[key] = recent.AddFirst((key, answer));
            bytes += Cost(answer);
            while (bytes > size) Drop(recent.Last!);
        }
    }

    /// <summary>Removes this answer, if it is still the one that is kept.</summary>
    public void Remove(CacheKey key, CachedAnswer answer)
    {
        lock (gate)
        {
            if (table.TryGetValue(key, out var node) && ReferenceEquals(node.Value.Answer, answer)) Drop(node);
        }
    }

    /// <summary>Removes every answer of an owner.</summary>
    public void Remove(string owner)
    {
        lock (gate)
        {
            foreach (var node in table.Values.Where(node => node.Value.Key.Owner == owner).ToList()) Drop(node);
        }
    }

    private void Drop(LinkedListNode<(CacheKey Key, CachedAnswer Answer)> node)
    {
        recent.Remove(node);
        Forget(node);
    }

    private void Forget(LinkedListNode<(CacheKey Key, CachedAnswer Answer)> node)
    {
        table.Remove(node.Value.Key);
        bytes -= Cost(node.Value.Answer);
    }

    private static long Cost(CachedAnswer answer) => answer.Lines.Length + Overhead;
}
