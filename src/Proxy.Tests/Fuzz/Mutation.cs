using System.Text;

namespace Proxy.Tests.Fuzz;

/// <summary>Changes inputs: bytes and digits, pieces taken out, repeated, or exchanged with pieces of other inputs, and whole values of JSON.</summary>
internal static class Mutation
{
    private static readonly byte[][] Words =
    [
        .. new[]
        {
            "null", "true", "false", "0", "-1", "1.5", "1e400", "9223372036854775808", "-0", "\"\"", "{}", "[]", "[null]", "{\"a\":1}", "\"\\ud83d\"",
            "\"\\u0000\"", "\"user\"", "\"tool\"", "\"text\"", "\"type\":", "\"content\":", "\"role\":", "\"id\":", "\"index\":1,", "\"error\":",
            "\"usage\":", "\"stop\"", "\n\n", "\r\n", "data: ", "data:", "event: ", ": ", "id: 7\n", "[DONE]", "\ufeff", "é", "😀", "\0", "[[[[[[[[",
            "{\"a\":{\"a\":{\"a\":", ",", ":", "\"", "\\",
        }.Select(Encoding.UTF8.GetBytes),
        [0xff, 0xfe], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98],
    ];

    public static byte[] Of(IReadOnlyList<byte[]> seeds, Random random)
    {
        var changed = seeds[random.Next(seeds.Count)].ToList();
        for (var changes = random.Next(1, 7); changes > 0; changes--) Change(changed, seeds, random);
        return [.. changed];
    }

    private static void Change(List<byte> changed, IReadOnlyList<byte[]> seeds, Random random)
    {
        var at = random.Next(changed.Count + 1);
        var length = Math.Min(random.Next(random.Next(3) == 0 ? 200 : 12), changed.Count - at);
        switch (random.Next(9))
        {
            case 0 when at < changed.Count: changed[at] ^= (byte)(1 << random.Next(8)); break;
            case 1: changed.RemoveRange(at, length); break;
            case 2: changed.InsertRange(at, changed.GetRange(at, length)); break;
            case 3: changed.InsertRange(random.Next(changed.Count + 1), changed.GetRange(at, length)); break;
            case 4: changed.InsertRange(at, Words[random.Next(Words.Length)]); break;
            case 5: Exchange(changed, Words[random.Next(Words.Length)], random); break;
            case 6: Exchange(changed, Value(seeds[random.Next(seeds.Count)], random), random); break;
            case 7 when random.Next(4) == 0: changed.RemoveRange(at, changed.Count - at); break;
            default: ChangeDigit(changed, at, random); break;
        }
    }

    private static void ChangeDigit(List<byte> changed, int at, Random random)
    {
        for (; at < changed.Count; at++)
        {
            if (changed[at] is < (byte)'0' or > (byte)'9') continue;
            changed[at] = (byte)random.Next('0', '9' + 1);
            return;
        }
    }

    /// <summary>Puts another value in the place of one of JSON's. Not exact: it looks for what follows a colon or a comma.</summary>
    private static void Exchange(List<byte> changed, byte[] value, Random random)
    {
        var (from, to) = Place([.. changed], random);
        changed.RemoveRange(from, to - from);
        changed.InsertRange(from, value);
    }

    private static byte[] Value(byte[] of, Random random)
    {
        var (from, to) = Place(of, random);
        return of[from..to];
    }

    private static (int From, int To) Place(ReadOnlySpan<byte> json, Random random)
    {
        var from = random.Next(json.Length + 1);
        while (from < json.Length && json[from] is not ((byte)':' or (byte)',' or (byte)'[')) from++;
        if (from < json.Length) from++;
        var (to, depth, isText) = (from, 0, false);
        for (; to < json.Length; to++)
        {
            if (isText && json[to] is (byte)'\\') to++;
            else if (json[to] is (byte)'"') isText = !isText;
            else if (isText) continue;
            else if (json[to] is (byte)'{' or (byte)'[') depth++;
            else if (json[to] is (byte)'}' or (byte)']' && --depth < 0) break;
            else if (depth == 0 && json[to] is (byte)',' or (byte)'\n') break;
        }

        return (from, Math.Min(to, json.Length));
    }
}
