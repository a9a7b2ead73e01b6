using System.Globalization;
using System.Text;
using CsCheck;

namespace Proxy.Tests.Harness;

/// <summary>
/// Properties that must hold for every input of a grammar. Each is tried with so many inputs, or for <c>PROXY_PROPERTY_SECONDS</c> where that is set (the long form). An input that breaks one is made
/// smaller for the rest of the run, and shown with the seed (<c>CsCheck_Seed</c>) that makes it again.
/// </summary>
internal static class Properties
{
    private static readonly int Seconds = int.TryParse(Environment.GetEnvironmentVariable("PROXY_PROPERTY_SECONDS"), CultureInfo.InvariantCulture, out var seconds) ? seconds : -1;

    /// <summary>Text of JSON or HTTP, with some of its letters put in, taken out or exchanged, or its end cut off.</summary>
    public static Gen<string> Disturbed(this Gen<string> text, string noise) => Gen.Frequency(
        (4, text),
        (3, text.SelectMany(valid => Changed(valid, noise))),
        (1, text.SelectMany(valid => Changed(valid, noise)).SelectMany(changed => Changed(changed, noise))),
        (1, text.SelectMany(valid => Gen.Int[0, valid.Length].Select(length => valid[..length]))));

    public static Gen<string> Joined(this Gen<string> part, int most, string separator = "") => part.Array[0, most].Select(parts => string.Join(separator, parts));

    public static void Holds<T>(this Gen<T> inputs, int times, Func<T, string> print, Action<T> check) => inputs.Sample(check, TestContext.Current.TestOutputHelper is { } output ? output.WriteLine : null, iter: times, time: Seconds, print: print);

    public static Task HoldsAsync<T>(this Gen<T> inputs, int times, Func<T, string> print, Func<T, Task> check) =>
        inputs.SampleAsync(check, TestContext.Current.TestOutputHelper is { } output ? output.WriteLine : null, iter: times, time: Seconds, threads: 1, print: print);

    /// <summary>As a C# string literal, one byte a character.</summary>
    public static string Shown(ReadOnlySpan<byte> bytes) => Shown(Encoding.Latin1.GetString(bytes));

    /// <inheritdoc cref="Shown(ReadOnlySpan{byte})"/>
    public static string Shown(string text)
    {
        var shown = new StringBuilder("\"");
        foreach (var letter in text)
        {
            _ = letter switch
            {
                '"' or '\\' => shown.Append('\\').Append(letter),
                '\r' => shown.Append("\\r"),
                '\n' => shown.Append("\\n"),
                '\t' => shown.Append("\\t"),
                < ' ' or (> '~' and <= 'ÿ') => shown.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"),
                _ => shown.Append(letter),
            };
        }

        return shown.Append('"').ToString();
    }

    private static Gen<string> Changed(string text, string noise) => Gen.Select(Gen.Int[0, text.Length], Gen.Int[0, 2], Gen.Int[0, noise.Length - 1], (at, how, which) => how switch
    {
        0 => text.Insert(at, noise[which].ToString()),
        1 when at < text.Length => text.Remove(at, 1),
        _ when at < text.Length => text.Remove(at, 1).Insert(at, noise[which].ToString()),
        _ => text + noise[which],
    });
}
