using System.Text.RegularExpressions;
using Proxy.Knowledge.Analysis;

namespace Proxy.Tests.Knowledge.Analysis;

/// <summary>
/// The analyser with which the retrieval recipe was measured: runs of ASCII letters and digits in lower case, without the stop words, stemmed by Porter's rules
/// of 1980.
/// </summary>
internal sealed partial class ReferenceAnalyzer : ITextAnalyzer
{
    private static readonly (string Suffix, string Into)[] Step2 =
    [
        ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("abli", "able"), ("alli", "al"), ("entli", "ent"),
        ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"),
        ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"),
    ];

    private static readonly (string Suffix, string Into)[] Step3 =
        [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

    private static readonly string[] Step4 =
    [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ];

    public int Version => 1980;

    public List<string> Terms(string text) =>
        [.. Word().Matches(text.ToLowerInvariant()).Select(static match => match.Value).Where(static word => !StopWords.All.Contains(word)).Select(Stem)];

    internal static string Stem(string word)
    {
        if (word.Length < 3 || !word.All(char.IsLetter)) return word;
        word = Endings(word);
        if (word.EndsWith('y') && HasVowel(word[..^1])) word = word[..^1] + "i";
        word = Replace(Replace(word, Step2), Step3);
        foreach (var suffix in Step4.OrderByDescending(static suffix => suffix.Length))
        {
            if (!word.EndsWith(suffix, StringComparison.Ordinal)) continue;
            var stem = word[..^suffix.Length];
            if (Measure(stem) > 1 && (suffix != "ion" || (stem.Length > 0 && stem[^1] is 's' or 't'))) word = stem;
            break;
        }

        if (word.EndsWith('e'))
        {
            var stem = word[..^1];
            if (Measure(stem) > 1 || (Measure(stem) == 1 && !EndsShort(stem))) word = stem;
        }

        return Measure(word) > 1 && word.EndsWith("ll", StringComparison.Ordinal) ? word[..^1] : word;
    }

    /// <summary>Plurals, and the endings of verbs.</summary>
    private static string Endings(string word)
    {
        if (word.EndsWith("sses", StringComparison.Ordinal) || word.EndsWith("ies", StringComparison.Ordinal)) word = word[..^2];
        else if (!word.EndsWith("ss", StringComparison.Ordinal) && word.EndsWith('s')) word = word[..^1];
        if (word.EndsWith("eed", StringComparison.Ordinal)) return Measure(word[..^3]) > 0 ? word[..^1] : word;
        var cut = word.EndsWith("ed", StringComparison.Ordinal) && HasVowel(word[..^2]) ? 2
            : word.EndsWith("ing", StringComparison.Ordinal) && HasVowel(word[..^3]) ? 3 : 0;
        if (cut == 0) return word;
        word = word[..^cut];
        if (word.EndsWith("at", StringComparison.Ordinal) || word.EndsWith("bl", StringComparison.Ordinal) || word.EndsWith("iz", StringComparison.Ordinal))
            return word + "e";
        if (word.Length > 1 && word[^1] == word[^2] && IsConsonant(word, word.Length - 1) && word[^1] is not ('l' or 's' or 'z')) return word[..^1];
        return Measure(word) == 1 && EndsShort(word) ? word + "e" : word;
    }

    private static string Replace(string word, (string Suffix, string Into)[] rules)
    {
        foreach (var (suffix, into) in rules.OrderByDescending(static rule => rule.Suffix.Length))
        {
            if (!word.EndsWith(suffix, StringComparison.Ordinal)) continue;
            return Measure(word[..^suffix.Length]) > 0 ? word[..^suffix.Length] + into : word;
        }

        return word;
    }

    /// <summary>How often a consonant follows a vowel.</summary>
    private static int Measure(string word)
    {
        var (count, wasVowel) = (0, false);
        for (var i = 0; i < word.Length; i++)
        {
            var isVowel = word[i] is 'a' or 'e' or 'i' or 'o' or 'u' || (word[i] == 'y' && i > 0 && !wasVowel);
            if (wasVowel && !isVowel) count++;
            wasVowel = isVowel;
        }

        return count;
    }

    private static bool HasVowel(string word) => Enumerable.Range(0, word.Length).Any(i => !IsConsonant(word, i));

    private static bool IsConsonant(string word, int at) => word[at] switch
    {
        'a' or 'e' or 'i' or 'o' or 'u' => false,
        'y' => at == 0 || !IsConsonant(word, at - 1),
        _ => true,
    };

    private static bool EndsShort(string word) =>
        word.Length > 2 && IsConsonant(word, word.Length - 3) && !IsConsonant(word, word.Length - 2) && IsConsonant(word, word.Length - 1)
        && word[^1] is not ('w' or 'x' or 'y');

    [GeneratedRegex("[a-z0-9]+")]
    private static partial Regex Word();
}
