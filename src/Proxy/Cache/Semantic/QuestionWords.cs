using System.Globalization;
using System.Text;

namespace Proxy.Cache.Semantic;

/// <summary>
/// The words of a question in a form in which questions that mean the same are often equal, and questions that do not are never: upper case, politeness,
/// articles, contractions and the plural are levelled, nothing else is left out. Numbers, names, negations, prepositions, tenses and the order of the words
/// stay, because each of them can turn a question into another one. The vectors of two such questions cannot tell them apart: "turn it on" and "turn it off"
/// are closer to each other than most paraphrases.
/// </summary>
internal static class QuestionWords
{
    private static readonly Dictionary<string, string[]> Contractions = new(StringComparer.Ordinal)
    {
        ["can't"] = ["can", "not"], ["cannot"] = ["can", "not"], ["won't"] = ["will", "not"], ["shan't"] = ["shall", "not"], ["let's"] = ["let", "us"],
        ["i'm"] = ["i", "be"], ["you're"] = ["you", "be"], ["we're"] = ["we", "be"], ["they're"] = ["they", "be"],
        ["what's"] = ["what", "be"], ["who's"] = ["who", "be"], ["where's"] = ["where", "be"], ["when's"] = ["when", "be"], ["how's"] = ["how", "be"],
        ["why's"] = ["why", "be"], ["that's"] = ["that", "be"], ["there's"] = ["there", "be"], ["it's"] = ["it", "be"], ["here's"] = ["here", "be"],
        ["i've"] = ["i", "have"], ["you've"] = ["you", "have"], ["we've"] = ["we", "have"], ["they've"] = ["they", "have"],
        ["i'll"] = ["i", "will"], ["you'll"] = ["you", "will"], ["we'll"] = ["we", "will"], ["it'll"] = ["it", "will"],
        ["is"] = ["be"], ["are"] = ["be"], ["am"] = ["be"], ["does"] = ["do"], ["has"] = ["have"],
    };

    /// <summary>Characters that are never part of what a question asks.</summary>
    private const string Punctuation = "\"“”„«»‘’',;:¿¡…。？！，";

    /// <summary>What may follow a mark that ends a sentence.</summary>
    private const string AfterAnEnd = "\"')?!.";

    private static readonly Dictionary<string, string> NumberWords = new(StringComparer.Ordinal)
    {
        ["zero"] = "0", ["one"] = "1", ["two"] = "2", ["three"] = "3", ["four"] = "4", ["five"] = "5", ["six"] = "6", ["seven"] = "7", ["eight"] = "8",
        ["nine"] = "9", ["ten"] = "10", ["eleven"] = "11", ["twelve"] = "12",
    };

    /// <summary>Words that carry no meaning wherever they stand.</summary>
    private static readonly HashSet<string> Empty = ["a", "an", "the", "please", "kindly"];

    /// <summary>Beginnings that only ask for an answer, longest first within those that begin alike; they are taken off as long as one fits.</summary>
    private static readonly string[][] Openings = [.. new[]
    {
        "hi", "hello", "hey", "hi there", "hello there", "quick question", "i have question", "thank", "thank you",
        "can you tell me", "could you tell me", "would you tell me", "will you tell me", "can you explain to me", "could you explain to me",
        "tell me", "do you know", "do you happen to know", "i want to know", "i would like to know", "i'd like to know", "i need to know", "i wonder",
        "i was wondering", "i be wondering", "can i ask", "may i ask", "can you", "could you", "would you", "will you", "i want you to", "i would like you to",
        "i'd like you to", "i need you to",
    }.Select(static words => words.Split(' ')).OrderByDescending(static words => words.Length)];

    /// <summary>Ways of asking for a way, and their shortest form.</summary>
    private static readonly (string[] Said, string[] Meant)[] Ways = [.. new (string, string)[]
    {
        ("how do i", "how"), ("how do we", "how"), ("how do you", "how"), ("how do one", "how"), ("how can i", "how"), ("how can we", "how"),
        ("how can you", "how"),
        ("how can one", "how"), ("how could i", "how"), ("how could we", "how"), ("how would i", "how"), ("how would you", "how"), ("how to", "how"),
        ("how i can", "how"), ("how you can", "how"), ("how we can", "how"), ("what be way to", "how"), ("which way be there to", "how"),
        ("what way be there to", "how"),
    }.Select(static way => (way.Item1.Split(' '), way.Item2.Split(' ')))];

    /// <summary>The words, with a space between them; empty if the question has none.</summary>
    public static string Of(string question)
    {
        var words = new List<string>();
        foreach (var token in Tokens(question.Normalize(NormalizationForm.FormKC))) Add(words, token);
        TakeOpeningsOff(words);
        while (words.Count > 1 && words[^1] is "thank" or "thanks") words.RemoveAt(words.Count - 1);
        if (words.Count > 2 && words[^1] == "you" && words[^2] is "thank") words.RemoveRange(words.Count - 2, 2);
        foreach (var (said, meant) in Ways)
        {
            if (!Begins(words, said)) continue;
            words.RemoveRange(0, said.Length);
            words.InsertRange(0, meant);
            break;
        }

        return string.Join(' ', words);
    }

    private static void Add(List<string> words, string token)
    {
        // Capitals tell "US" from "us" and "IT" from "it".
        if (token.Length > 1 && token.Any(char.IsLetter) && token.All(static c => !char.IsLetter(c) || char.IsUpper(c)))
        {
            words.Add(token);
            return;
        }

        var word = token.ToLowerInvariant().Replace('’', '\'');
        if (Empty.Contains(word)) return;
        if (Contractions.TryGetValue(word, out var parts)) words.AddRange(parts);
        else if (word.EndsWith("n't", StringComparison.Ordinal)) words.AddRange(Contractions.GetValueOrDefault(word[..^3], [word[..^3]]).Append("not"));
        else if (NumberWords.TryGetValue(word, out var number)) words.Add(number);
        else words.Add(Singular(word));
    }

    /// <summary>English plurals in -s, -es and -ies. Other endings stay: they change meanings.</summary>
    private static string Singular(string word)
    {
        if (word.Length < 4 || word[^1] != 's' || !word.All(static c => c is >= 'a' and <= 'z')) return word;
        if (word.EndsWith("ies", StringComparison.Ordinal)) return word.Length > 4 ? word[..^3] + "y" : word;
        if (word.EndsWith("sses", StringComparison.Ordinal) || word.EndsWith("xes", StringComparison.Ordinal) || word.EndsWith("ches", StringComparison.Ordinal)
            || word.EndsWith("shes", StringComparison.Ordinal)) return word[..^2];
        return word[^2] is 's' or 'u' or 'i' || word is "news" or "always" or "perhaps" ? word : word[..^1];
    }

    private static void TakeOpeningsOff(List<string> words)
    {
        for (var again = true; again;)
        {
            again = false;
            foreach (var opening in Openings)
            {
                if (words.Count <= opening.Length || !Begins(words, opening)) continue;
                words.RemoveRange(0, opening.Length);
                again = true;
                break;
            }
        }
    }

    private static bool Begins(List<string> words, string[] with)
    {
        if (words.Count < with.Length) return false;
        for (var i = 0; i < with.Length; i++)
        {
            if (words[i] != with[i]) return false;
        }

        return true;
    }

    /// <summary>Words with their apostrophes, numbers with their signs and decimals, and every symbol that is not the punctuation of a sentence.</summary>
    private static IEnumerable<string> Tokens(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            var c = text[at];
            if (IsPart(text, at))
            {
                var from = at;
                while (at < text.Length && (IsPart(text, at) || IsInside(text, at))) at++;
                yield return text[from..at];
            }
            else
            {
                if (IsSymbol(text, at)) yield return c.ToString();
                at++;
            }
        }
    }

    private static bool IsPart(string text, int at) =>
        char.IsLetterOrDigit(text[at]) || char.IsSurrogate(text[at])
        || CharUnicodeInfo.GetUnicodeCategory(text[at]) is UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark;

    /// <summary>An apostrophe between letters, or a point or comma between digits.</summary>
    private static bool IsInside(string text, int at) => at > 0 && at + 1 < text.Length && text[at] switch
    {
        '\'' or '’' => char.IsLetter(text[at - 1]) && char.IsLetter(text[at + 1]),
        '.' or ',' or ':' => char.IsDigit(text[at - 1]) && char.IsDigit(text[at + 1]),
        '_' => true,
        _ => false,
    };

    /// <summary>Whether a character that is in no word matters: an operator, a currency, a path; not a comma or the mark that ends a sentence.</summary>
    private static bool IsSymbol(string text, int at)
    {
        var c = text[at];
        if (char.IsWhiteSpace(c) || char.IsControl(c)) return false;
        if (Punctuation.Contains(c, StringComparison.Ordinal)) return false;
        if (c is '.' or '?' or '!') return at + 1 < text.Length && !char.IsWhiteSpace(text[at + 1]) && !AfterAnEnd.Contains(text[at + 1], StringComparison.Ordinal);
        if (c is '-' or '–' or '—') return !(at > 0 && at + 1 < text.Length && char.IsLetter(text[at - 1]) && char.IsLetter(text[at + 1]));
        return true;
    }
}
