using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Proxy.Cache.Semantic;

/// <summary>
/// The words of a question in a form in which questions that mean the same are often equal, and questions that do not are not: politeness, articles,
/// contractions, and the capital of a question's first word are levelled, nothing else is left out. Numbers, names, negations, prepositions, tenses, plurals
/// and
/// the order of the words stay, because each of them can turn a question into another one. The vectors of two such questions cannot tell them apart: "turn
/// it on"
/// and "turn it off" are closer to each other than most paraphrases.
/// </summary>
internal static partial class QuestionWords
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

    private static readonly Dictionary<string, string> NumberWords = new(StringComparer.Ordinal)
    {
        ["zero"] = "0", ["one"] = "1", ["two"] = "2", ["three"] = "3", ["four"] = "4", ["five"] = "5", ["six"] = "6", ["seven"] = "7", ["eight"] = "8",
        ["nine"] = "9", ["ten"] = "10", ["eleven"] = "11", ["twelve"] = "12",
    };

    /// <summary>Words without which a question is the same, where a noun can follow them.</summary>
    private static readonly HashSet<string> Articles = ["an", "the"], Polite = ["please", "kindly"];

    /// <summary>Words that no article stands before: "a" before one of them is a name, as in "between a and b".</summary>
    private static readonly HashSet<string> NoNouns =
    [
        "a", "an", "the", "and", "or", "nor", "but", "is", "are", "am", "was", "were", "be", "do", "does", "did", "has", "have", "had", "can", "will", "to",
        "in",
        "on", "of", "for", "with", "from", "by", "at", "as", "than", "that", "if", "when", "who", "what", "which", "where", "how", "why", "not", "plus",
        "minus",
        "times", "equals",
    ];

    /// <summary>
    /// Words after which "a" is an article. After others it can be a part of a name: "vitamin a deficiency".
    /// </summary>
    private static readonly HashSet<string> BeforeArticle = [.. (
        "is are was were be do does did has have had having in on of for with to from by at as into about and or than if like without through using what's "
        + "it's "
        + "that's who's where's i me you it add apply ask bake become boil bring build buy calculate call change check choose clean close configure connect "
        + "contain "
        + "convert cook copy create debug declare define delete deploy describe download draw edit explain export find fix format get give grow handle "
        + "implement "
        + "import install join keep learn list load make merge move name need open paint parse pass pick plant plot print read remove rename repair replace "
        + "reset "
        + "return run save see send set show start stop take teach tell test tie train update upload use want wash write").Split(' ')];

    /// <summary>Words that begin questions, whose capital says nothing there. Another word with a capital may be a name: "Rust", "Polish", "Windows".</summary>
    private static readonly HashSet<string> FirstWords = [.. (
        "how what what's whats why when where where's who who's whose which is isn't are aren't am was wasn't were do don't does doesn't did didn't can "
        + "can't could "
        + "couldn't should shouldn't would wouldn't will may might must has hasn't have haven't had shall in on at for if to from with i i'm i'd i've i'll "
        + "it it's "
        + "there my our your this that these those the an please kindly hi hello hey thanks thank quick tell give show list describe explain define compare "
        + "write "
        + "name find help let let's any and or so also").Split(' ')];

    /// <summary>Verbs with which "how do you" asks about the one who is asked.</summary>
    private static readonly HashSet<string> Yours = 
    [
        "compare", "differ", "feel", "know", "like", "live", "look", "respond", "see", "sleep",
        "think", "want", "work",
    ];

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
        // Not form KC, which makes 102 of 10².
        var text = Thanks().Replace(question.Normalize(NormalizationForm.FormC).Replace('’', '\''), "");
        var tokens = Tokens(text).ToList();
        var hasLetters = tokens.Exists(static token => token.Text.Length == 1 && char.IsLetter(token.Text[0]) && token.Text is not ("a" or "A" or "i" or "I"));
        var words = new List<string>();
        for (var i = 0; i < tokens.Count; i++)
        {
            if (!IsLeftOut(text, tokens, i, hasLetters)) Add(words, tokens[i].Text, BeginsSentence(text, tokens[i].At));
        }

        TakeOpeningsOff(words);
        foreach (var (said, meant) in Ways)
        {
            if (!Begins(words, said) || (said[^1] is "you" && words.Count > said.Length && Yours.Contains(words[said.Length]))) continue;
            words.RemoveRange(0, said.Length);
            words.InsertRange(0, meant);
            break;
        }

        return string.Join(' ', words);
    }

    /// <summary>Politeness, and articles in front of a noun.</summary>
    private static bool IsLeftOut(string text, List<(string Text, int At)> tokens, int i, bool hasLetters)
    {
        var word = tokens[i].Text;
        if (BeginsSentence(text, tokens[i].At) && FirstWords.Contains(word.ToLowerInvariant())) word = word.ToLowerInvariant();
        if (Polite.Contains(word)) return true;
        var after = tokens[i].At + word.Length;
        if (i + 1 == tokens.Count || after >= text.Length || !char.IsWhiteSpace(text[after])) return false;
        if (!char.IsLetterOrDigit(tokens[i + 1].Text[0]) || NoNouns.Contains(tokens[i + 1].Text)) return false;
        // In "is a greater than b", the letter is a name.
        return Articles.Contains(word) || (word is "a" && !hasLetters && i > 0 && BeforeArticle.Contains(tokens[i - 1].Text.ToLowerInvariant()));
    }

    /// <summary>Whether what is before a word ends a sentence, or is nothing.</summary>
    private static bool BeginsSentence(string text, int at)
    {
        var before = text.AsSpan(0, at).TrimEnd().TrimEnd("\"'“‘«(");
        return before.IsEmpty || before[^1] is '.' or '?' or '!';
    }

    private static void Add(List<string> words, string token, bool isFirst)
    {
        // Capitals tell "US" from "us", and the language "Rust" from "rust".
        var word = token.ToLowerInvariant();
        var isMine = word is "i" or "i'm" or "i've" or "i'll" or "i'd";
        var isShouted = token.Length > 1 && token.Any(char.IsLetter) && token.All(static c => !char.IsLetter(c) || char.IsUpper(c));
        if (word != token && !isMine && (isShouted || !isFirst || !FirstWords.Contains(word))) words.Add(token);
        else if (Contractions.TryGetValue(word, out var parts)) words.AddRange(parts);
        else if (word.EndsWith("n't", StringComparison.Ordinal)) words.AddRange(Contractions.GetValueOrDefault(word[..^3], [word[..^3]]).Append("not"));
        else words.Add(NumberWords.GetValueOrDefault(word, word));
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
    private static IEnumerable<(string Text, int At)> Tokens(string text)
    {
        for (var at = 0; at < text.Length;)
        {
            if (IsPart(text, at))
            {
                var from = at;
                while (at < text.Length && (IsPart(text, at) || IsInside(text, at))) at++;
                yield return (text[from..at], from);
            }
            else
            {
                if (IsSymbol(text, at)) yield return (text[at].ToString(), at);
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
        '\'' => char.IsLetter(text[at - 1]) && char.IsLetter(text[at + 1]),
        '.' or ',' or ':' => char.IsDigit(text[at - 1]) && char.IsDigit(text[at + 1]),
        '_' => true,
        _ => false,
    };

    /// <summary>Whether a character that is in no word matters: an operator, a currency, a path; but not a comma or the mark at the end of a
    /// sentence.</summary>
    private static bool IsSymbol(string text, int at)
    {
        var c = text[at];
        if (char.IsWhiteSpace(c) || char.IsControl(c)) return false;
        var isAlone = IsBorder(text, at - 1) && IsBorder(text, at + 1); // "what does ; mean"
        if (c is '"' or '\'') return (at > 0 && char.IsDigit(text[at - 1])) || (isAlone && at > 0 && at + 1 < text.Length); // 6' and 6"
        if (c is '“' or '”' or '„' or '«' or '»' or '‘') return false;
        if (c is ',' or ';' or ':' or '¿' or '¡' or '…' or '。' or '？' or '！' or '，') return isAlone;
        if (c is '.' or '?' or '!')
        {
            if (c is '!' && IsFactorial(text, at)) return true;
            if (isAlone && text.AsSpan(at).ContainsAnyExcept(" .?!")) return true;
            return at + 1 < text.Length && !char.IsWhiteSpace(text[at + 1]) && text[at + 1] is not ('"' or '\'' or ')' or '?' or '!' or '.');
        }

        if (c is '-' or '–' or '—') return !(IsWordAt(text, at - 1, -1) && IsWordAt(text, at + 1, 1)); // "self-signed", but not "a-b"
        return true;
    }

    /// <summary>Whether a number, one letter or a bracket is before the mark, as in "5!".</summary>
    private static bool IsFactorial(string text, int at) =>
        at > 0 && (char.IsDigit(text[at - 1]) || text[at - 1] is ')' || (IsPart(text, at - 1) && (at < 2 || !IsPart(text, at - 2))));

    /// <summary>White space, a quotation mark, a bracket, or an end of the text.</summary>
    private static bool IsBorder(string text, int at) =>
        at < 0 || at >= text.Length || char.IsWhiteSpace(text[at]) || text[at] is '"' or '\'' or '`' or '(' or ')';

    /// <summary>Whether two letters stand there, one after the other in the direction.</summary>
    private static bool IsWordAt(string text, int at, int step) =>
        at >= 0 && at < text.Length && char.IsLetter(text[at]) && at + step >= 0 && at + step < text.Length && char.IsLetter(text[at + step]);

    /// <summary>Thanks after the end of a question; "how do I say thanks" is one.</summary>
    [GeneratedRegex("""(?<=[,.!?;])\s*(?:many thanks|thanks|thank you)(?: in advance| a lot| so much| very much)?\s*[.!]*\s*$""",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Thanks();
}
