using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;

namespace BareLoop;

/// <summary>Texts of mixed length, from whatever is written in some files.</summary>
internal static class Corpus
{
    private const int TextsACall = 16;
    private const string Query = "how long may a streamed answer be silent before it is given up?";

    public static async Task WriteAsync(int port, string model, string rerank, string folder, int count, IReadOnlyList<string> files)
    {
        Directory.CreateDirectory(folder);
        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        var words = files.SelectMany(static file => File.ReadAllText(file).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            .Where(static word => word.Any(char.IsAsciiLetter) && word.Length < 30).ToArray();
        var texts = new List<(string Text, int[] Ids)>();
        var random = new Random(20261);
        while (texts.Count < count)
        {
            var drawn = Enumerable.Range(0, TextsACall).Select(_ => Draw(words, random)).ToArray();
            foreach (var pair in drawn.Zip(await TokensAsync(client, model, drawn)))
                if (pair.Second.Length <= 250 && texts.Count < count) texts.Add(pair);
        }

        var query = (Text: Query, Ids: (await TokensAsync(client, model, [Query]))[0]);
        File.WriteAllLines(Path.Combine(folder, "ids"), texts.Select(static text => string.Join(' ', text.Ids)));
        File.WriteAllText(Path.Combine(folder, "query.ids"), string.Join(' ', query.Ids));
        Requests(Path.Combine(folder, "arrays"),
            texts.Chunk(TextsACall).Select(part =>
                (part.Sum(static text => text.Ids.Length), part.Length, Body(model, [.. part.Select(static text => text.Text)]))));
        Requests(Path.Combine(folder, "singles"), texts.Select(text => (text.Ids.Length, 1, Body(model, [text.Text]))));
        Requests(Path.Combine(folder, "bulk"),
            texts.Chunk(4 * TextsACall).Select(part =>
                (part.Sum(static text => text.Ids.Length), part.Length, Body(model, [.. part.Select(static text => text.Text)]))));
        Requests(Path.Combine(folder, "query"), [(query.Ids.Length, 1, Body(model, [query.Text]))]);
        var mixed = texts.Where(static text => text.Ids.Length <= 64).Concat(texts.Where(static text => text.Ids.Length > 64).Take(16)).ToArray();
        Requests(Path.Combine(folder, "mixed"),
            mixed.Select(text => (text.Ids.Length, 1, Body(model, [text.Text])))
                .Concat(texts.Chunk(TextsACall).Take(4).Select(part =>
                    (part.Sum(static text => text.Ids.Length), part.Length, Body(model, [.. part.Select(static text => text.Text)])))).ToArray());
        var pairs = texts.Where(static text => text.Ids.Length is > 60 and < 200).Take(100).ToArray();
        Requests(Path.Combine(folder, "rerank"),
            [(pairs.Sum(pair => pair.Ids.Length + (rerank == model ? 0 : query.Ids.Length - 1)) + (rerank == model ? query.Ids.Length : 0), pairs.Length,
                JsonSerializer.SerializeToUtf8Bytes(new { model = rerank, query = Query, documents = pairs.Select(static pair => pair.Text) }))]);
        Console.WriteLine($"tokens {texts.Sum(static text => text.Ids.Length)}");
        Console.WriteLine($"query_tokens {query.Ids.Length}");
    }

    /// <summary>A quarter are as short as a question, a quarter as long as the model reads, the rest paragraphs.</summary>
    private static string Draw(string[] words, Random random)
    {
        var length = random.Next(4) switch { 0 => random.Next(3, 14), 1 => random.Next(80, 150), _ => random.Next(15, 80) };
        var from = random.Next(words.Length - length);
        return string.Join(' ', words[from..(from + length)]);
    }

    private static byte[] Body(string model, string[] texts) => JsonSerializer.SerializeToUtf8Bytes(new { model, input = texts });

    private static async Task<int[][]> TokensAsync(HttpClient client, string model, string[] inputs)
    {
        using var reply = await client.PostAsJsonAsync("/tokenize", new { inputs, model });
        reply.EnsureSuccessStatusCode();
        var tokens = await reply.Content.ReadFromJsonAsync<JsonElement>();
        return [.. tokens.EnumerateArray().Select(static text => text.EnumerateArray().Select(static token => token.GetProperty("id").GetInt32()).ToArray())];
    }

    /// <summary>A line with tokens, texts and bytes before each body.</summary>
    private static void Requests(string path, IEnumerable<(int Tokens, int Texts, byte[] Body)> requests)
    {
        using var file = File.Create(path);
        foreach (var (tokens, texts, body) in requests)
        {
            file.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{tokens} {texts} {body.Length}\n")));
            file.Write(body);
            file.Write("\n"u8);
        }
    }
}
