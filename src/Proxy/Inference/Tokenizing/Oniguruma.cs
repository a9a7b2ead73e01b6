using System.Text;
using System.Text.RegularExpressions;

namespace Proxy.Inference.Tokenizing;

/// <summary>
/// Translates regular expressions of the reference's engine (Oniguruma) for .NET. Expressions that .NET would interpret differently are refused.
/// </summary>
internal static partial class Oniguruma
{
    /// <summary>An expression that takes longer has exponential run time.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    /// <summary>Unicode scripts, which .NET's expressions do not support.</summary>
    private static readonly Dictionary<string, string> Scripts = new()
    {
        ["Han"] = @"\u2E80-\u2FD5\u3005\u3007\u3021-\u3029\u3038-\u303B\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAD9",
        ["Hiragana"] = @"\u3041-\u3096\u309D-\u309F",
        ["Katakana"] = @"\u30A1-\u30FA\u30FD-\u30FF\u31F0-\u31FF\uFF66-\uFF6F\uFF71-\uFF9D",
        ["Hangul"] = @"\u1100-\u11FF\u3131-\u318E\uA960-\uA97C\uAC00-\uD7A3\uD7B0-\uD7FB",
    };

    [GeneratedRegex(@"\{\d*,?\d*\}")]
    private static partial Regex Count();

    /// <exception cref="ArgumentException">The expression is invalid, or uses a feature that .NET does not have.</exception>
    public static Regex Translate(string expression)
    {
        var output = new StringBuilder(expression.Length + 16);
        var groups = new Stack<(int Start, bool AnyCase)>();
        var atom = 0; // start of the last element to which a quantifier may apply
        for (var at = 0; at < expression.Length;)
        {
            var c = expression[at];
            switch (c)
            {
                case '\\':
                    atom = output.Length;
                    at = Escape(expression, at, output, inClass: false);
                    break;
                case '[':
                    atom = output.Length;
                    at = Class(expression, at, output);
                    break;
                case '(':
                    var anyCase = expression.AsSpan(at).StartsWith("(?i:", StringComparison.Ordinal);
                    groups.Push((output.Length, anyCase || groups.TryPeek(out var around) && around.AnyCase));
                    output.Append(anyCase ? "(?i:" : "(");
                    at += anyCase ? 4 : 1;
                    break;
                case ')':
                    atom = groups.TryPop(out var open) ? open.Start : output.Length;
                    output.Append(c);
                    at++;
                    break;
                case '*' or '+' or '?' when atom < output.Length && output[^1] is not ('(' or '|'):
                    output.Append(c);
                    at = Possessive(expression, at + 1, output, atom);
                    break;
                case '{' when Count().Match(expression, at) is { Success: true } count && count.Index == at:
                    output.Append(count.Value);
                    at += count.Length;
                    if (at >= expression.Length || expression[at] != '+') break;
                    output.Insert(atom, "(?:").Append(")+"); // in this position a + is just another quantifier
                    at++;
                    break;
                case 's' or 'S' when groups.TryPeek(out var group) && group.AnyCase:
                    atom = output.Length;
                    output.Append(@"[sS\u017F]"); // .NET does not match the long s as an s
                    at++;
                    break;
                default:
                    if (char.IsSurrogate(c)) throw new ArgumentException("it contains a char beyond the basic plane");
                    atom = output.Length;
                    output.Append(c);
                    at++;
                    break;
            }
        }

        return new(output.ToString(), RegexOptions.CultureInvariant | RegexOptions.Multiline, Longest);
    }

    /// <summary>A + after a quantifier is possessive: the match is never given back. It is translated to an atomic group.</summary>
    private static int Possessive(string expression, int at, StringBuilder output, int atom)
    {
        if (at >= expression.Length || expression[at] != '+') return at;
        output.Insert(atom, "(?>").Append(')');
        return at + 1;
    }

    private static int Class(string expression, int at, StringBuilder output)
    {
        output.Append('[');
        at++;
        if (at < expression.Length && expression[at] == '^')
        {
            output.Append('^');
            at++;
        }

        for (var first = at; at < expression.Length; )
        {
            var c = expression[at];
            if (c == ']' && at > first)
            {
                output.Append(c);
                return at + 1;
            }

            if (c == '[') throw new ArgumentException("a class contains a class");
            if (c == '&' && at + 1 < expression.Length && expression[at + 1] == '&') throw new ArgumentException("classes are intersected");
            if (char.IsSurrogate(c)) throw new ArgumentException("it contains a char beyond the basic plane");
            if (c == '\\')
            {
                at = Escape(expression, at, output, inClass: true);
                continue;
            }

            output.Append(c);
            at++;
        }

        throw new ArgumentException("a class does not end");
    }

    private static int Escape(string expression, int at, StringBuilder output, bool inClass)
    {
        if (at + 1 >= expression.Length) throw new ArgumentException("it ends with a backslash");
        var c = expression[at + 1];
        if (c is 'p' or 'P' && at + 2 < expression.Length && expression[at + 2] == '{' && expression.IndexOf('}', at) is var end and > 0)
        {
            var name = expression[(at + 3)..end];
            var not = c == 'P' ^ name.StartsWith('^');
            name = name.TrimStart('^');
            if (!Scripts.TryGetValue(name, out var ranges)) output.Append(not ? @"\P{" : @"\p{").Append(name).Append('}');
            else if (!inClass) output.Append(not ? "[^" : "[").Append(ranges).Append(']');
            else if (!not) output.Append(ranges);
            else throw new ArgumentException("a script is excluded within a class");
            return end + 1;
        }

        // .NET's word chars lack letter numbers, circled letters and two kinds of marks. Outside of a class the engine also matches Latin-1's small numbers.
        const string Word = @"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\u24B6-\u24E9";
        const string Numbers = @"\u00B2\u00B3\u00B9\u00BC-\u00BE";
        switch (c)
        {
            case 'w':
                output.Append(inClass ? Word : $"[{Word}{Numbers}]");
                break;
            case 'W' when !inClass:
                output.Append("[^").Append(Word).Append(Numbers).Append(']');
                break;
            case 'h' or 'H' or 'R' or 'X' or 'K' or 'G':
                throw new ArgumentException($"\\{c} stands in it");
            default:
                output.Append('\\').Append(c);
                break;
        }

        return at + 2;
    }
}
