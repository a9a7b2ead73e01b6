using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Dialects;

namespace Proxy.Tests.Fuzz;

/// <summary>
/// The readers of requests. What a dialect accepts, every dialect writes as JSON or refuses. What is written is read again, with every text in it, and is then
/// written alike, so that the two halves of a dialect agree. The edits to a client's own body leave it JSON.
/// </summary>
internal static class RequestTargets
{
    private static readonly (string File, DialectName Name)[] Files =
    [
        ("openai", DialectName.OpenAiChat), ("responses", DialectName.OpenAiResponses), ("completions", DialectName.OpenAiCompletions),
        ("ollama", DialectName.OllamaChat), ("generate", DialectName.OllamaGenerate), ("anthropic", DialectName.Anthropic),
    ];

    public static IEnumerable<FuzzTarget> All => Files.Select(static row => new FuzzTarget($"request-{row.File}", Seeds(row.File, row.Name),
        body => Check(DialectTable.Client(row.Name)!, DialectTable.Backend(row.Name)!, body)));

    private static List<byte[]> Seeds(string file, DialectName name)
    {
        var seeds = Directory.GetFiles(Path.Combine(Wire.Transcripts, "matrix"), file + ".json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(File.ReadAllBytes).ToList();
        if (name is DialectName.OpenAiCompletions or DialectName.OllamaGenerate) return seeds;
        for (var seed = 0; seed < 8; seed++)
        {
            var talk = new GeneratedTalk(seed);
            seeds.Add(Encoding.UTF8.GetBytes(talk.Body(name, talk.Asked[^1]).ToJsonString()));
        }

        return seeds;
    }

    private static void Check(ClientDialect client, BackendDialect own, byte[] body)
    {
        if (EnvelopePeek.Read(body, out var envelope) is not null) return; // such a body gets to no dialect
        var error = client.ReadRequest(body, out var request);
        if (error is not null)
        {
            Assert.Null(request);
            Assert.NotEmpty(error.Message);
            Assert.InRange(client.StatusOf(error), 400, 499);
            return;
        }

        Assert.NotNull(request);
        CheckEdits(client, own, body, envelope!);
        if (request.Messages.Count == 0) return; // Ollama's order to load a model: it is not a chat
        foreach (var host in DialectTable.Backends)
        {
            if (host.Unsayable(request) is { } unsayable) Assert.NotEmpty(unsayable.Message);
            else CheckWritten(host, request);
        }
    }

    private static void CheckWritten(BackendDialect host, ChatRequest request)
    {
        var written = Write(host, request);
        using (var json = JsonDocument.Parse(written)) Assert.Equal("served", json.RootElement.GetProperty("model").GetString());

        var error = DialectTable.Client(host.Name)!.ReadRequest(Encoding.UTF8.GetBytes(written), out var again);
        Assert.True(error is null, $"{host.Name} does not read what it wrote: {error?.Message}\n{written}");
        Assert.Null(host.Unsayable(again!));
        var second = Write(host, again!);
        Assert.Null(DialectTable.Client(host.Name)!.ReadRequest(Encoding.UTF8.GetBytes(second), out var third));
        Assert.Equal(second, Write(host, third!));
        // Parts of a text may have become one, and so may thoughts, whose ids the writer makes.
        var read = string.Concat(Texts(second));
        var lost = Texts(written).Where(text => !text.StartsWith("rs_", StringComparison.Ordinal) && !read.Contains(text, StringComparison.Ordinal)).ToList();
        Assert.True(lost.Count == 0, $"{host.Name} does not read \"{string.Join("\", \"", lost)}\" in what it wrote\n{written}\n{second}");
    }

    /// <summary>The strings of a JSON document.</summary>
    private static List<string> Texts(string json)
    {
        var texts = new List<string>();
        using var document = JsonDocument.Parse(json);
        Add(document.RootElement);
        return texts;

        void Add(JsonElement value)
        {
            if (value.ValueKind is JsonValueKind.String) texts.Add(value.GetString()!);
            else if (value.ValueKind is JsonValueKind.Array) foreach (var item in value.EnumerateArray()) Add(item);
            else if (value.ValueKind is JsonValueKind.Object) foreach (var member in value.EnumerateObject()) Add(member.Value);
        }
    }

    private static string Write(BackendDialect host, ChatRequest request) => Wire.Text(output => host.WriteRequest(request, "served", output, []));

    private static void CheckEdits(ClientDialect client, BackendDialect own, byte[] body, ChatEnvelope envelope)
    {
        var normal = client.NormalisePrompt(body);
        Assert.All(normal, static edit => Assert.Equal(edit.Place.End.Value - edit.Place.Start.Value, edit.Text.Length));
        CheckEdited(normal, body);
        var pieces = new List<Range>();
        client.CutPrompt(body, pieces);
        Assert.All(pieces, piece => Assert.InRange(piece.End.Value, piece.Start.Value, body.Length));
        if (client.PutBeforeLastTurn(body, "a passage \" with quotes") is { } passage) CheckEdited([passage], body);
        if (own.AskUsage(body, envelope) is { } usage) CheckEdited([usage], body);
    }

    private static void CheckEdited(IReadOnlyList<BodyEdit> edits, byte[] body)
    {
        using var edited = BodyEdit.Apply(edits, body);
        if (edited is not null) JsonDocument.Parse(edited.Memory).Dispose();
    }
}
