namespace Proxy.Knowledge.Analysis;

/// <summary>
/// The English stemmer of Snowball, known as Porter2 (https://snowballstem.org/algorithms/english/stemmer.html). Words are lower-case ASCII letters.
/// </summary>
internal static class Porter2
{
    /// <summary>Stems the first <paramref name="length"/> characters in place; one more character must be free behind them. Returns the new length.</summary>
    public static int Stem(Span<char> word, int length)
    {
        if (length <= 2) return length;
        if (Exception(word[..length]) is { } stem)
        {
            stem.CopyTo(word);
            return stem.Length;
        }

        var state = new State { Word = word, Length = length };
        state.MarkConsonantY();
        state.FindRegions();
        state.Step1A();
        if (!IsFinished(state.Word[..state.Length]))
        {
            state.Step1B();
            state.Step1C();
            state.Step2();
            state.Step3();
            state.Step4();
            state.Step5();
        }

        word[..state.Length].Replace('Y', 'y');
        return state.Length;
    }

    /// <summary>The words that the rules would stem wrongly.</summary>
    private static string? Exception(ReadOnlySpan<char> word) => word.Length is < 3 or > 6 ? null : word switch
    {
        "skis" => "ski",
        "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "idly" => "idl",
        "gently" => "gentl",
        "ugly" => "ugli",
        "early" => "earli",
        "only" => "onli",
        "singly" => "singl",
        "sky" => "sky",
        "news" => "news",
        "howe" => "howe",
        "atlas" => "atlas",
        "cosmos" => "cosmos",
        "bias" => "bias",
        "andes" => "andes",
        _ => null,
    };

    /// <summary>Words that are left as they are after step 1a.</summary>
    private static bool IsFinished(ReadOnlySpan<char> word) =>
        word is "inning" or "outing" or "canning" or "herring" or "earring" or "proceed" or "exceed" or "succeed";

    private static bool IsVowel(char c) => c is 'a' or 'e' or 'i' or 'o' or 'u' or 'y';

    /// <summary>A word under way. A <c>Y</c> in it is a y that counts as a consonant. The regions R1 and R2 begin at these places.</summary>
    private ref struct State
    {
        private int r1;
        private int r2;

        public Span<char> Word;
        public int Length;

        public readonly void MarkConsonantY()
        {
            if (Word[0] == 'y') Word[0] = 'Y';
            for (var i = 1; i < Length; i++)
            {
                if (Word[i] == 'y' && IsVowel(Word[i - 1])) Word[i] = 'Y';
            }
        }

        public void FindRegions()
        {
            ReadOnlySpan<char> word = Word[..Length];
            r1 = word.StartsWith("gener") || word.StartsWith("arsen") ? 5 : word.StartsWith("commun") ? 6 : RegionAfter(0);
            r2 = RegionAfter(r1);
        }

        public void Step1A()
        {
            if (Ends("sses")) Length -= 2;
            else if (Ends("ied") || Ends("ies")) Length -= Length > 4 ? 2 : 1;
            else if (!Ends("us") && !Ends("ss") && Ends("s") && HasVowel(Length - 2)) Length--;
        }

        public void Step1B()
        {
            if (Ends("eedly"))
            {
                if (InR1(5)) Length -= 3;
                return;
            }

            if (Ends("eed"))
            {
                if (InR1(3)) Length--;
                return;
            }

            var cut = Ends("ingly") ? 5 : Ends("edly") ? 4 : Ends("ing") ? 3 : Ends("ed") ? 2 : 0;
            if (cut == 0 || !HasVowel(Length - cut)) return;
            Length -= cut;
            if (Ends("at") || Ends("bl") || Ends("iz")) Word[Length++] = 'e';
            else if (Length >= 2 && Word[Length - 1] == Word[Length - 2] && "bdfgmnprt".Contains(Word[Length - 1])) Length--;
            else if (Length == r1 && EndsShort()) Word[Length++] = 'e';
        }

        public readonly void Step1C()
        {
            if (Length > 2 && Word[Length - 1] is 'y' or 'Y' && !IsVowel(Word[Length - 2])) Word[Length - 1] = 'i';
        }

        public void Step2()
        {
            if (Turns("ational", "ate") || Turns("fulness", "ful") || Turns("ousness", "ous") || Turns("iveness", "ive") || Turns("ization", "ize")
                || Turns("tional", "tion") || Turns("biliti", "ble") || Turns("lessli", "less") || Turns("entli", "ent") || Turns("ation", "ate")
                || Turns("alism", "al") || Turns("aliti", "al") || Turns("ousli", "ous") || Turns("iviti", "ive") || Turns("fulli", "ful")
                || Turns("enci", "ence") || Turns("anci", "ance") || Turns("abli", "able") || Turns("izer", "ize") || Turns("ator", "ate")
                || Turns("alli", "al") || Turns("bli", "ble")) return;
            if (Ends("ogi"))
            {
                if (InR1(3) && Length > 3 && Word[Length - 4] == 'l') Length--;
            }
            else if (Ends("li") && InR1(2) && Length > 2 && "cdeghkmnrt".Contains(Word[Length - 3]))
            {
                Length -= 2;
            }
        }

        public void Step3()
        {
            if (Turns("ational", "ate") || Turns("tional", "tion") || Turns("alize", "al") || Turns("icate", "ic") || Turns("iciti", "ic")) return;
            if (Ends("ative"))
            {
                if (InR1(5) && InR2(5)) Length -= 5;
                return;
            }

            _ = Turns("ical", "ic") || Turns("ness", "") || Turns("ful", "");
        }

        public void Step4()
        {
            if (Drops("ement") || Drops("ance") || Drops("ence") || Drops("able") || Drops("ible") || Drops("ment") || Drops("ant") || Drops("ent")
                || Drops("ism") || Drops("ate") || Drops("iti") || Drops("ous") || Drops("ive") || Drops("ize")) return;
            if (Ends("ion"))
            {
                if (InR2(3) && Length > 3 && Word[Length - 4] is 's' or 't') Length -= 3;
                return;
            }

            _ = Drops("al") || Drops("er") || Drops("ic");
        }

        public void Step5()
        {
            if (Ends("e"))
            {
                if (InR2(1) || (InR1(1) && !ShortBefore(Length - 1))) Length--;
            }
            else if (Ends("l") && InR2(1) && Length > 1 && Word[Length - 2] == 'l')
            {
                Length--;
            }
        }

        /// <summary>The place behind the first consonant that follows a vowel.</summary>
        private readonly int RegionAfter(int at)
        {
            while (at < Length && !IsVowel(Word[at])) at++;
            while (at < Length && IsVowel(Word[at])) at++;
            return at < Length ? at + 1 : Length;
        }

        private readonly bool Ends(string suffix) => ((ReadOnlySpan<char>)Word[..Length]).EndsWith(suffix);

        private readonly bool HasVowel(int end)
        {
            for (var i = 0; i < end; i++)
            {
                if (IsVowel(Word[i])) return true;
            }

            return false;
        }

        private readonly bool InR1(int suffix) => Length - suffix >= r1;

        private readonly bool InR2(int suffix) => Length - suffix >= r2;

        private readonly bool EndsShort() => ShortBefore(Length);

        /// <summary>
        /// Whether a short syllable ends there: a vowel between consonants of which the last is not w, x or Y, or a vowel at the word's beginning and a
        /// consonant.
        /// </summary>
        private readonly bool ShortBefore(int end) => end == 2
            ? IsVowel(Word[0]) && !IsVowel(Word[1])
            : end > 2 && !IsVowel(Word[end - 3]) && IsVowel(Word[end - 2]) && !IsVowel(Word[end - 1]) && Word[end - 1] is not ('w' or 'x' or 'Y');

        /// <summary>True if the word ends with the suffix; it is replaced if it is in R1.</summary>
        private bool Turns(string suffix, string into)
        {
            if (!Ends(suffix)) return false;
            if (InR1(suffix.Length))
            {
                into.CopyTo(Word[(Length - suffix.Length)..]);
                Length += into.Length - suffix.Length;
            }

            return true;
        }

        /// <summary>True if the word ends with the suffix; it is cut off if it is in R2.</summary>
        private bool Drops(string suffix)
        {
            if (!Ends(suffix)) return false;
            if (InR2(suffix.Length)) Length -= suffix.Length;
            return true;
        }
    }
}
