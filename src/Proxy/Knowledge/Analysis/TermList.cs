namespace Proxy.Knowledge.Analysis;

/// <summary>Takes the terms of a text.</summary>
internal class TermList(int capacity)
{
    public List<string> Terms { get; } = new(capacity);

    public virtual void Add(string term) => Terms.Add(term);

    /// <summary>Adds a term that stands beside the words: it does not count into the length of the text.</summary>
    public virtual void AddBeside(string term) => Terms.Add(term);

    /// <summary>The next terms are parts of an identifier, until <see cref="End"/>.</summary>
    public virtual void Begin(string identifier, bool isCode)
    {
    }

    public virtual void End()
    {
    }
}

/// <summary>Takes the terms of a query, with the identifiers of which they are parts.</summary>
internal sealed class QueryTermList() : TermList(8)
{
    private readonly List<QueryTerm> terms = [];
    private readonly List<Identifier> around = [];

    public override void Add(string term) => terms.Add(new(term, [.. around]));

    public override void AddBeside(string term) => Add(term);

    public override void Begin(string identifier, bool isCode)
    {
        if (!isCode && terms.Count > 0 && terms[^1].Term == identifier) terms[^1] = terms[^1] with { IsCompound = true };
        around.Add(new(identifier, isCode));
    }

    public override void End() => around.RemoveAt(around.Count - 1);

    /// <summary>Each term once. What stands for itself anywhere is no part.</summary>
    public IReadOnlyList<QueryTerm> Distinct() =>
        [.. terms.GroupBy(static term => term.Term).Select(static same => same.MinBy(static term => term.PartOf.Count)!)];
}
