namespace Proxy.Cli.Knowledge;

/// <summary>
/// Matches paths against the globs of .gitignore, as git's wildmatch.c does with WM_PATHNAME: <c>*</c> and <c>?</c> match no slash, <c>**</c> between slashes
/// matches any number of folders, <c>[…]</c> is a set of characters, and a backslash takes a character's meaning away.
/// </summary>
internal static class WildMatch
{
    private enum Outcome
    {
        Match,
        NoMatch,

        /// <summary>The text is used up: no later beginning can match.</summary>
        AbortAll,

        /// <summary>A single asterisk met a slash: only an earlier <c>**</c> can go on.</summary>
        AbortToDouble,
    }

    public static bool IsMatch(string glob, ReadOnlySpan<char> text) => Match(glob, 0, text, 0) is Outcome.Match;

    private static Outcome Match(string glob, int p, ReadOnlySpan<char> text, int t)
    {
        for (; p < glob.Length; p++, t++)
        {
            var wanted = glob[p];
            if (t >= text.Length && wanted != '*') return Outcome.AbortAll;
            switch (wanted)
            {
                case '?':
                    if (text[t] == '/') return Outcome.NoMatch;
                    continue;
                case '*':
                    if (Star(glob, ref p, text, ref t) is { } decided) return decided;
                    continue;
                case '[':
                    if (Set(glob, ref p, text[t]) is not { } isIn) return Outcome.AbortAll;
                    if (!isIn || text[t] == '/') return Outcome.NoMatch;
                    continue;
                case '\\':
                    if (++p >= glob.Length || text[t] != glob[p]) return Outcome.NoMatch;
                    continue;
                default:
                    if (text[t] != wanted) return Outcome.NoMatch;
                    continue;
            }
        }

        return t < text.Length ? Outcome.NoMatch : Outcome.Match;
    }

    /// <summary>Null: the caller goes on behind the slash at <paramref name="p"/> and <paramref name="t"/>.</summary>
    private static Outcome? Star(string glob, ref int p, ReadOnlySpan<char> text, ref int t)
    {
        var (before, crosses) = (p - 1, false);
        if (++p < glob.Length && glob[p] == '*')
        {
            while (p < glob.Length && glob[p] == '*') p++;
            crosses = (before < 0 || glob[before] == '/')
                && (p >= glob.Length || glob[p] == '/' || (glob[p] == '\\' && p + 1 < glob.Length && glob[p + 1] == '/'));
            // "**/" also matches no folder at all.
            if (crosses && p < glob.Length && glob[p] == '/' && Match(glob, p + 1, text, t) is Outcome.Match) return Outcome.Match;
        }

        var rest = text[Math.Min(t, text.Length)..];
        if (p >= glob.Length) return crosses || !rest.Contains('/') ? Outcome.Match : Outcome.NoMatch;
        if (!crosses && glob[p] == '/')
        {
            if (rest.IndexOf('/') is not (>= 0 and var slash)) return Outcome.NoMatch;
            t += slash;
            return null;
        }

        for (; t < text.Length; t++)
        {
            var found = Match(glob, p, text, t);
            if (found is not Outcome.NoMatch && (!crosses || found is not Outcome.AbortToDouble)) return found;
            if (found is Outcome.NoMatch && !crosses && text[t] == '/') return Outcome.AbortToDouble;
        }

        return Outcome.AbortAll;
    }

    /// <summary>Whether the set that begins at <paramref name="p"/> has the character; <paramref name="p"/> is then at its end. Null: it has no end.</summary>
    private static bool? Set(string glob, ref int p, char c)
    {
        var isNegated = At(glob, ++p) is '!' or '^';
        if (isNegated) p++;
        var (matched, previous) = (false, '\0');
        do
        {
            var member = At(glob, p);
            if (member == '\0') return null;
            if (member == '\\')
            {
                if ((member = At(glob, ++p)) == '\0') return null;
                matched |= c == member;
            }
            else if (member == '-' && previous != '\0' && At(glob, p + 1) is not ('\0' or ']'))
            {
                if ((member = At(glob, ++p)) == '\\' && (member = At(glob, ++p)) == '\0') return null;
                matched |= previous <= c && c <= member;
                member = '\0';
            }
            else if (member == '[' && At(glob, p + 1) == ':')
            {
                var end = glob.IndexOf(']', p + 2);
                if (end < 0) return null;
                if (end > p + 2 && glob[end - 1] == ':')
                {
                    if (Class(glob[(p + 2)..(end - 1)], c) is not { } isIn) return null;
                    matched |= isIn;
                    (p, member) = (end, '\0');
                }
                else matched |= c == '[';
            }
            else matched |= c == member;

            previous = member;
        }
        while (At(glob, ++p) != ']');
        return matched != isNegated;
    }

    private static char At(string glob, int place) => place < glob.Length ? glob[place] : '\0';

    /// <summary>POSIX's classes, which git has for ASCII alone. Null: there is no class of that name.</summary>
    private static bool? Class(string name, char c) => name switch
    {
        "alnum" => char.IsAsciiLetterOrDigit(c),
        "alpha" => char.IsAsciiLetter(c),
        "blank" => c is ' ' or '\t',
        "cntrl" => c is < ' ' or '\x7f',
        "digit" => char.IsAsciiDigit(c),
        "graph" => c is > ' ' and < '\x7f',
        "lower" => char.IsAsciiLetterLower(c),
        "print" => c is >= ' ' and < '\x7f',
        "punct" => c is > ' ' and < '\x7f' && !char.IsAsciiLetterOrDigit(c),
        "space" => c is ' ' or (>= '\t' and <= '\r'),
        "upper" => char.IsAsciiLetterUpper(c),
        "xdigit" => char.IsAsciiHexDigit(c),
        _ => null,
    };
}
