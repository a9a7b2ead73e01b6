namespace Proxy.Knowledge.Search;

/// <summary>Times the stages of a search, one after the other, and keeps what the search did differently from the usual.</summary>
internal sealed class StageClock(TimeProvider time)
{
    /// <summary>The stages of a search, in their order.</summary>
    public static readonly IReadOnlyList<string> Names = ["open", "words", "embed", "vectors", "feedback", "load", "rerank", "select"];

    private readonly List<StageTime> stages = [];
    private readonly List<string> notes = [];
    private long last = time.GetTimestamp();

    public IReadOnlyList<StageTime> Stages => stages;
    public IReadOnlyList<string> Notes => notes;

    /// <summary>A stage ended. A stage that runs several times is one, with the sum of its times. Returns the time of this run.</summary>
    public TimeSpan End(string stage)
    {
        var now = time.GetTimestamp();
        var took = time.GetElapsedTime(last, now);
        last = now;
        var at = stages.FindIndex(known => known.Stage == stage);
        if (at < 0) stages.Add(new(stage, took.TotalMilliseconds));
        else stages[at] = new(stage, stages[at].Milliseconds + took.TotalMilliseconds);
        return took;
    }

    public void Note(string note)
    {
        if (!notes.Contains(note)) notes.Add(note);
    }
}
