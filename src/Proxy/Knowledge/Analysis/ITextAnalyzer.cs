using Proxy.Knowledge.Index;

namespace Proxy.Knowledge.Analysis;

/// <summary>Turns text into the terms that it is found by. The same for documents and queries.</summary>
internal interface ITextAnalyzer
{
    /// <summary>Rises with every change that gives other terms for the same text; indexes made by another version are made anew.</summary>
    int Version { get; }

    /// <summary>The terms in their order, repeated as often as they occur.</summary>
    List<string> Terms(string text);

    /// <summary>The terms with how often each occurs.</summary>
    TermCounts Count(string text)
    {
        var counts = new TermCounts();
        foreach (var term in Terms(text)) counts.Add(term);
        return counts;
    }

    /// <summary>The terms of a query, each once.</summary>
    IReadOnlyList<QueryTerm> QueryTerms(string query) => [.. Terms(query).Distinct().Select(static term => new QueryTerm(term, []))];
}

/// <summary>A term of a query.</summary>
/// <param name="Term">The term.</param>
/// <param name="PartOf">The identifiers of which it is a part; empty: it stands for itself.</param>
internal sealed record QueryTerm(string Term, IReadOnlyList<Identifier> PartOf)
{
    /// <summary>It is an identifier as a whole, but one of words or numbers that are joined (<see cref="Identifier.IsCode"/>).</summary>
    public bool IsCompound { get; init; }
}

/// <summary>An identifier in a query.</summary>
/// <param name="Term">Its term as a whole.</param>
/// <param name="IsCode">False: words and numbers of a text, as in two-dimensional, and/or, e.g. and 2.5.</param>
internal readonly record struct Identifier(string Term, bool IsCode);

internal static class AnalyzerExtensions
{
    /// <summary>The terms of a chunk.</summary>
    /// <param name="analyzer">The analyser.</param>
    /// <param name="title">The chunk's title (<see cref="ChunkTitle"/>).</param>
    /// <param name="text">The chunk's text.</param>
    public static ChunkTerms TermsOf(this ITextAnalyzer analyzer, string title, string text)
    {
        var (titles, body) = (analyzer.Count(title), analyzer.Count(text));
        body.Add(titles);
        return new(body.All(), titles.All()) { BodyLength = body.Length, TitleLength = titles.Length };
    }
}

/// <summary>The title of a chunk, for the index and the embedding model: the file's name without its extension, and the headings above the chunk.</summary>
internal static class ChunkTitle
{
    public static string Of(string fileName, string heading)
    {
        var name = Path.GetFileNameWithoutExtension(fileName);
        return heading.Length == 0 ? name : $"{name} › {heading}";
    }

    /// <summary>What is embedded of a chunk.</summary>
    public static string Embedded(string title, string text) => title.Length == 0 ? text : $"{title}. {text}";
}
