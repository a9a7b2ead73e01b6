namespace Proxy.Inference;

/// <summary>
/// Chooses the waiting sequences that are computed together. A batch is padded to its longest sequence, so sequences of similar length are put together: at
/// most
/// a tenth of a batch, or a few tokens, is padding. The oldest sequence is always in the batch, so that none waits for ever.
/// </summary>
internal sealed class BatchPlanner(int tokens)
{
    /// <summary>Number of waiting sequences among which it looks for similar lengths.</summary>
    private const int Window = 1024;

    /// <summary>A batch of its own costs about as much as computing this many tokens.</summary>
    private const int Trifle = 12;

    private readonly List<Sequence> sorted = new(Window);

    /// <summary>
    /// Moves a batch from the queue (oldest first) into <paramref name="batch"/>, which it clears. Sequences whose callers left are dropped; their number is
    /// returned.
    /// </summary>
    public int Take(LinkedList<Sequence> line, List<Sequence> batch)
    {
        batch.Clear();
        var dropped = 0;
        sorted.Clear();
        for (var node = line.First; node is not null && sorted.Count < Window;)
        {
            var next = node.Next;
            if (node.Value.Call.IsOver)
            {
                line.Remove(node);
                dropped++;
            }
            else
            {
                sorted.Add(node.Value);
            }

            node = next;
        }

        if (sorted.Count == 0) return dropped;
        var oldest = sorted[0];
        sorted.Sort(static (a, b) => a.Length.CompareTo(b.Length));
        var (from, to) = Around(sorted.IndexOf(oldest));
        for (var i = from; i <= to; i++)
        {
            sorted[i].IsTaken = true;
            batch.Add(sorted[i]);
        }

        var left = batch.Count;
        for (var node = line.First; node is not null && left > 0;)
        {
            var next = node.Next;
            if (node.Value.IsTaken)
            {
                line.Remove(node);
                left--;
            }

            node = next;
        }

        return dropped;
    }

    /// <summary>Extends the range from one sequence to both sides, towards the nearer length, as long as the batch has room.</summary>
    private (int From, int To) Around(int start)
    {
        var (from, to) = (start, start);
        var sum = sorted[start].Length;
        while (true)
        {
            var shorter = from > 0 ? sorted[from - 1].Length : -1;
            var longer = to + 1 < sorted.Count ? sorted[to + 1].Length : -1;
            var longest = sorted[to].Length;
            var down = shorter >= 0 && Fits(to - from + 2, longest, sum + shorter);
            var up = longer >= 0 && Fits(to - from + 2, longer, sum + longer);
            if (down && (!up || longest - shorter <= longer - longest)) sum += sorted[--from].Length;
            else if (up) sum += sorted[++to].Length;
            else return (from, to);
        }
    }

    private bool Fits(int count, int longest, int sum)
    {
        var padded = count * longest;
        return padded <= tokens && padded - sum <= Math.Max(Trifle, padded / 10);
    }
}
