using System.Globalization;

namespace Proxy.Config;

/// <summary>Durations as they are written in the file: <c>250ms</c>, <c>30s</c>, <c>5m</c>, <c>1h30m</c>.</summary>
internal static class Duration
{
    public const string Example = "\"30s\", \"5m\", \"1h30m\" or \"250ms\"";

    /// <summary>Timers accept at most about 49 days; no setting needs more than this.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromDays(20);

    private const int MostDays = 3650;

    private static readonly (string Unit, TimeSpan Length)[] Units =
    [
        ("h", TimeSpan.FromHours(1)), ("m", TimeSpan.FromMinutes(1)), ("s", TimeSpan.FromSeconds(1)), ("ms", TimeSpan.FromMilliseconds(1)),
    ];

    /// <summary>Parts are ordered from large to small units, each unit at most once. No sign, no fraction, no spaces.</summary>
    public static bool TryParse(string text, out TimeSpan duration)
    {
        duration = TimeSpan.Zero;
        if (text.Length == 0) return false;

        var rest = text.AsSpan();
        var next = 0;
        while (rest.Length > 0)
        {
            var digits = rest.IndexOfAnyExceptInRange('0', '9');
            if (digits is <= 0 or > 9) return false;
            var amount = int.Parse(rest[..digits], NumberStyles.None, CultureInfo.InvariantCulture);
            rest = rest[digits..];

            var letters = rest.IndexOfAnyInRange('0', '9');
            var unit = letters < 0 ? rest : rest[..letters];
            while (next < Units.Length && !unit.SequenceEqual(Units[next].Unit)) next++;
            if (next == Units.Length) return false;

            var length = Units[next++].Length;
            if (amount > Longest / length) return false;
            duration += amount * length;
            rest = rest[unit.Length..];
        }

        return duration <= Longest;
    }

    /// <summary>How long something is kept: whole days such as <c>30d</c>, at most ten years of them, or a duration.</summary>
    public static bool TryParseKept(string text, out TimeSpan kept)
    {
        if (!text.EndsWith('d')) return TryParse(text, out kept);
        var isNumber = int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var days);
        kept = TimeSpan.FromDays(Math.Min(days, MostDays));
        return isNumber && days <= MostDays;
    }

    public static string Text(TimeSpan duration)
    {
        if (duration == TimeSpan.Zero) return "0s";

        var text = "";
        var rest = duration;
        foreach (var (unit, length) in Units)
        {
            var amount = rest.Ticks / length.Ticks;
            if (amount > 0) text += string.Create(CultureInfo.InvariantCulture, $"{amount}{unit}");
            rest -= amount * length;
        }

        return text;
    }
}
