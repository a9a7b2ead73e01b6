using System.Globalization;

namespace Proxy.Chat;

/// <summary>
/// One spelling for each number: <c>1.0</c>, <c>1e0</c> and <c>1</c> are all <c>1</c>. It is the spelling of JavaScript, which RFC 8785 demands, but without
/// rounding to 64 bits: two numbers have the same spelling only if they are equal.
/// </summary>
internal static class CanonicalNumber
{
    /// <summary>Numbers with at most this many digits before the point are written without an exponent.</summary>
    private const int MostWhole = 21;

    /// <summary>Numbers with at most this many zeros after the point are written without an exponent.</summary>
    private const int MostZeros = 5;

    /// <param name="spelled">A number as JSON spells it. Other text is returned unchanged.</param>
    public static string Of(string spelled)
    {
        var rest = spelled.AsSpan();
        var sign = rest.StartsWith('-') ? "-" : "";
        rest = rest[sign.Length..];
        var exponent = 0;
        if (rest.IndexOfAny('e', 'E') is var mark and >= 0)
        {
            // A number whose exponent has ten digits is no number that a model's host can use.
            if (!int.TryParse(rest[(mark + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out exponent)
                || Math.Abs((long)exponent) > int.MaxValue / 2) return spelled;
            rest = rest[..mark];
        }

        var point = rest.IndexOf('.');
        var digits = point < 0 ? rest.ToString() : string.Concat(rest[..point], rest[(point + 1)..]);
        var before = (point < 0 ? digits.Length : point) + exponent; // digits before the point
        var leading = digits.AsSpan().IndexOfAnyExcept('0');
        if (leading < 0) return "0";
        digits = digits[leading..].TrimEnd('0');
        return sign + Written(digits, before - leading);
    }

    private static string Written(string digits, int before) => before switch
    {
        > MostWhole or <= -MostZeros - 1 => Scientific(digits, before - 1),
        <= 0 => string.Concat("0.", new string('0', -before), digits),
        _ when before >= digits.Length => digits.PadRight(before, '0'),
        _ => string.Concat(digits.AsSpan(0, before), ".", digits.AsSpan(before)),
    };

    private static string Scientific(string digits, int exponent) => string.Create(CultureInfo.InvariantCulture,
        $"{digits[0]}{(digits.Length > 1 ? "." : "")}{digits.AsSpan(1)}e{(exponent < 0 ? "" : "+")}{exponent}");
}
