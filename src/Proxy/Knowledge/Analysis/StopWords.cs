using System.Collections.Frozen;

namespace Proxy.Knowledge.Analysis;

/// <summary>The 115 English words that are left out of documents and queries, because they stand in most texts.</summary>
internal static class StopWords
{
    public static FrozenSet<string> All { get; } = FrozenSet.ToFrozenSet(
        ("a about above after again all am an and any are as at be because been before being below between both but by can could did do does "
            + "doing down during each few for from further had has have having he her here hers him his how i if in into is it its itself just me "
            + "more most my no nor not now of off on once only or other our out over own same she should so some such than that the their them "
            + "then there these they this those through to too under until up very was we were what when where which while who whom why will with "
            + "would you your").Split(' '),
        StringComparer.Ordinal);

    private static readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> Lookup = All.GetAlternateLookup<ReadOnlySpan<char>>();

    public static bool Contains(ReadOnlySpan<char> word) => Lookup.Contains(word);
}
