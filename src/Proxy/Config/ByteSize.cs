using System.Globalization;

namespace Proxy.Config;

/// <summary>Sizes as they are written in the file: <c>32MiB</c> counts in 1024, <c>512KB</c> in 1000.</summary>
internal static class ByteSize
{
    public const string Example = "\"32MiB\" or \"512KB\"";

    private static readonly (string Unit, long Bytes)[] Units =
    [
        ("GiB", 1L << 30), ("GB", 1_000_000_000), ("MiB", 1L << 20), ("MB", 1_000_000), ("KiB", 1L << 10), ("KB", 1_000), ("B", 1),
    ];

    /// <summary>Parses a whole number and a unit, in upper or lower case. No sign, no fraction, no spaces.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        var digits = text.AsSpan().IndexOfAnyExceptInRange('0', '9');
        if (digits is <= 0 or > 9) return false;

        foreach (var (unit, length) in Units)
            if (text.AsSpan(digits).Equals(unit, StringComparison.OrdinalIgnoreCase))
            {
                bytes = long.Parse(text.AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture) * length;
                return true;
            }

        return false;
    }

    /// <summary>The size in the largest binary unit that gives a whole number.</summary>
    public static string Text(long bytes)
    {
        foreach (var (unit, length) in Units)
            if (long.IsPow2(length) && bytes >= length && bytes % length == 0)
                return string.Create(CultureInfo.InvariantCulture, $"{bytes / length}{unit}");

        return "0B";
    }
}
