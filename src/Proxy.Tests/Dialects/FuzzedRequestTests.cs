using System.Text;
using CsCheck;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Requests of clients with random changes: each is refused with a message, or means the same after it was written for a host of its own dialect and read
/// again. What other hosts are sent is valid in their dialects.
/// </summary>
public sealed class FuzzedRequestTests
{
    private static readonly (DialectName Dialect, string File)[] Files =
    [
        (DialectName.OpenAiChat, "openai.json"), (DialectName.OllamaChat, "ollama.json"), (DialectName.Anthropic, "anthropic.json"),
        (DialectName.OpenAiResponses, "responses.json"), (DialectName.OpenAiCompletions, "completions.json"), (DialectName.OllamaGenerate, "generate.json"),
    ];

    public static TheoryData<string> Dialects { get; } = [.. Files.Select(static row => row.Dialect.ToString())];

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Request_with_changes_Is_refused_or_keeps_its_meaning(string dialect)
    {
        var client = DialectTable.Client(Enum.Parse<DialectName>(dialect))!;
        var file = Files.Single(row => row.Dialect == client.Name).File;
        List<byte[]> corpus = [.. Directory.GetDirectories(Path.Combine(Wire.Transcripts, "matrix")).Select(folder => Path.Combine(folder, file))
            .Where(File.Exists).Select(File.ReadAllBytes)];
        Gen.Int.Holds(300, static seed => $"seed {seed}", seed =>
        {
            var body = Mutation.Of(corpus, new Random(seed), most: 4);
            // The order of the proxy: only what has an envelope, and so is JSON, comes to a dialect.
            if (EnvelopePeek.Read(body, out _) is not null || JsonStructure.IsTooMuch(body) || client.Refuses(body) is not null) return;
            var refused = client.ReadRequest(body, out var request);
            client.FindFileSearch(body);
            client.NormalisePrompt(body);
            client.CutPrompt(body, []);
            client.PutBeforeLastTurn(body, "passages");
            Assert.Equal(refused is null, request is not null);
            if (request is null)
            {
                Assert.NotEmpty(refused!.Message);
                return;
            }

            foreach (var backend in DialectTable.Backends)
            {
                if (backend.Unsayable(request) is not null) continue;
                var sent = Written(backend, request);
                var own = DialectTable.Client(backend.Name)!;
                Assert.True(own.ReadRequest(Encoding.UTF8.GetBytes(sent), out var read) is null, $"{backend.Name} cannot read {sent}");
                if (backend.Name == client.Name) Assert.Equal(sent, Written(backend, read!));
            }
        });
    }

    private static string Written(BackendDialect backend, ChatRequest request) =>
        Wire.Text(output => backend.WriteRequest(request, request.Model, output, []));
}
