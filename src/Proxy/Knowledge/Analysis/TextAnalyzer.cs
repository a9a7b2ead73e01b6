namespace Proxy.Knowledge.Analysis;

/// <summary>The analyser of the product: Unicode words, English stems, identifiers as they are and in parts, bigrams for scripts without spaces.</summary>
internal sealed class TextAnalyzer : ITextAnalyzer
{
    public int Version => 1;

    public List<string> Terms(string text)
    {
        // The plain words only, for now.
        var terms = new List<string>();
        foreach (var word in text.ToLowerInvariant().Split([' ', '\n', '\t', '.', ',', '(', ')', ':', ';', '"', '›'], StringSplitOptions.RemoveEmptyEntries))
            terms.Add(word);
        return terms;
    }
}
