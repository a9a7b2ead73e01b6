namespace Proxy.Inference.Tokenizing;

/// <summary>What happens to the matches of a pattern at which a text is split.</summary>
internal enum SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous }

/// <summary>Makes pieces from the matches, which come in order, and from the text between them.</summary>
internal ref struct PieceCutter(PieceList output, SplitBehavior behavior, bool invert, int start, int end)
{
    private int done = start;
    private bool any;
    private bool lastMatched;
    private (int Start, int End) pending = (-1, -1);

    /// <summary>Adds a match; an empty one is ignored.</summary>
    public void Match(int from, int to)
    {
        if (from >= to) return;
        if (from > done) Part(done, from, invert);
        Part(from, to, !invert);
        done = to;
    }

    public void Finish()
    {
        if (done < end) Part(done, end, invert);
        if (pending.Start >= 0) output.Add(pending.Start, pending.End);
    }

    private void Part(int from, int to, bool matched)
    {
        switch (behavior)
        {
            case SplitBehavior.Removed:
                if (!matched) output.Add(from, to);
                break;
            case SplitBehavior.Isolated:
                output.Add(from, to);
                break;
            case SplitBehavior.Contiguous:
                if (any && matched == lastMatched) output.Extend(to);
                else output.Add(from, to);
                break;
            case SplitBehavior.MergedWithPrevious:
                if (any && matched && !lastMatched) output.Extend(to);
                else output.Add(from, to);
                break;
            default: // the match is merged with the text after it
                if (!matched)
                {
                    output.Add(pending.Start >= 0 ? pending.Start : from, to);
                    pending = (-1, -1);
                    break;
                }

                if (pending.Start >= 0) output.Add(pending.Start, pending.End);
                pending = (from, to);
                break;
        }

        (any, lastMatched) = (true, matched);
    }
}
