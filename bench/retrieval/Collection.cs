using System.Text.Json;

namespace Proxy.Bench;

/// <summary>A document or page.</summary>
internal sealed record Document(string Id, string Title, string Text);

/// <summary>A query with the numbers of its relevant documents.</summary>
internal sealed record Query(string Text, HashSet<int> Relevant);

/// <summary>Documents and judged queries: <c>docs.jsonl</c>, <c>queries.jsonl</c> and <c>qrels.tsv</c> in a folder.</summary>
internal sealed record Collection(IReadOnlyList<Document> Documents, IReadOnlyList<Query> Queries)
{
    public static Collection Read(string folder)
    {
        var documents = Lines(folder, "docs.jsonl").Select(static row => new Document(Text(row, "id"), Text(row, "title"), Text(row, "text"))).ToList();
        var numbers = documents.Select(static (document, number) => (document.Id, number)).ToDictionary(static row => row.Id, static row => row.number);
        var relevant = File.ReadLines(Path.Combine(folder, "qrels.tsv")).Skip(1).Select(static line => line.Split('\t'))
            .ToLookup(static cells => cells[0], cells => numbers[cells[1]]);
        return new(documents, [.. Lines(folder, "queries.jsonl").Select(row => new Query(Text(row, "text"), [.. relevant[Text(row, "id")]]))]);
    }

    public void Write(string folder)
    {
        Directory.CreateDirectory(folder);
        WriteLines(
            folder, "docs.jsonl",
            Documents.Select(static document => new[] { ("id", document.Id), ("title", document.Title), ("text", document.Text) }));
        WriteLines(folder, "queries.jsonl", Queries.Select(static (query, number) => new[] { ("id", $"q{number}"), ("text", query.Text) }));
        File.WriteAllLines(Path.Combine(folder, "qrels.tsv"),
            Queries.SelectMany((query, number) => query.Relevant.Select(at => $"q{number}\t{Documents[at].Id}\t1\t-")).Prepend("query\tdocument\tgrade\t-"));
    }

    private static IEnumerable<JsonElement> Lines(string folder, string file) =>
        File.ReadLines(Path.Combine(folder, file)).Select(static line => JsonElement.Parse(line));

    private static string Text(JsonElement row, string name) => row.GetProperty(name).GetString()!;

    private static void WriteLines(string folder, string file, IEnumerable<(string Name, string Value)[]> rows)
    {
        using var output = File.Create(Path.Combine(folder, file));
        foreach (var row in rows)
        {
            using (var json = new Utf8JsonWriter(output))
            {
                json.WriteStartObject();
                foreach (var (name, value) in row) json.WriteString(name, value);
                json.WriteEndObject();
            }

            output.WriteByte((byte)'\n');
        }
    }
}
