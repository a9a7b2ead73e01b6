using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>
/// Changes valid input at random places: bytes, pieces that are repeated or missing, pieces of other input, and words that mean something to parsers. The same
/// seed makes the same changes.
/// </summary>
internal static class Mutation
{
    private static readonly byte[][] Words =
    [
        .. new[]
        {
            "null", "true", "{}", "[]", "\"\"", "\"", "{", "}", "[", "]", ":", ",", "\\", "\\u0000", "\\ud83d", "\\ud83d\\ude00", "0", "-1", "1e999",
            "9223372036854775808", "0.1", "\n", "\n\n", "\r\n\r\n", "\r", "data: ", "data:", "event: error\n", "[DONE]", ": comment\n", "é", "😀", "\u2028",
            "\"index\":1,", "\"choices\":[]", "\"content\":null", "\"error\":{\"message\":\"x\"},", "\"type\":\"text\",", "\"arguments\":\"{\"",
        }.Select(Encoding.UTF8.GetBytes),
        [0xff], [0xed, 0xa0, 0xbd], [0xc3], [0], [0xef, 0xbb, 0xbf],
    ];

    /// <summary>The input with up to <paramref name="most"/> changes, which may be none.</summary>
    public static byte[] Of(IReadOnlyList<byte[]> corpus, Random random, int most = 6)
    {
        var changed = corpus[random.Next(corpus.Count)].ToList();
        for (var changes = random.Next(most + 1); changes > 0 && changed.Count > 0; changes--)
        {
            var at = random.Next(changed.Count);
            var length = Math.Min(random.Next(1, 40), changed.Count - at);
            switch (random.Next(8))
            {
                case 0: changed[at] = (byte)random.Next(256); break;
                case 1: changed.RemoveRange(at, length); break;
                case 2: changed.InsertRange(at, changed.GetRange(at, length)); break;
                case 3: changed.InsertRange(random.Next(changed.Count), changed.GetRange(at, length)); break;
                case 4 or 5: changed.InsertRange(at, Words[random.Next(Words.Length)]); break;
                case 6:
                    var other = corpus[random.Next(corpus.Count)];
                    var from = random.Next(other.Length);
                    changed.InsertRange(at, other[from..Math.Min(other.Length, from + random.Next(1, 200))]);
                    break;
                default:
                    if (random.Next(4) == 0) changed.RemoveRange(at, changed.Count - at);
                    else if (changed[at] is >= (byte)'0' and <= (byte)'9') changed[at] = (byte)random.Next('0', '9' + 1);
                    break;
            }
        }

        return [.. changed];
    }

    /// <summary>The input in pieces of random length.</summary>
    public static byte[][] Cut(byte[] whole, Random random)
    {
        var pieces = new List<byte[]>();
        var longest = random.Next(1, 4) switch { 1 => 3, 2 => 40, _ => 400 };
        for (var at = 0; at < whole.Length;)
        {
            var length = Math.Min(random.Next(1, longest + 1), whole.Length - at);
            pieces.Add(whole[at..(at + length)]);
            at += length;
        }

        return [.. pieces];
    }
}
