using System.Net.Http.Json;
using System.Numerics.Tensors;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Inference;
using Proxy.Tests.Sdk;

namespace Proxy.Tests.EndToEnd;

/// <summary>The models inside the process answer over HTTP as the reference did, whatever else is computed at the same time.</summary>
public sealed class LocalParityTests(LocalParityTests.Door door) : IClassFixture<LocalParityTests.Door>
{
    public sealed class Door : FrontDoor
    {
        private readonly LocalModelFolders folders = new();

        protected override string Sections() => $"""
            [[inference.models]]
            name = "raw"
            path = "{folders.Path}/raw"
            [[inference.models]]
            name = "cross"
            path = "{TestModels.Folder("tiny-wordpiece-rerank")}"
            """;

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            folders.Dispose();
        }
    }

    [Theory]
    [InlineData("/v1/rerank")]
    [InlineData("/v2/rerank")]
    [InlineData("/rerank")]
    public async Task Cross_encoder_Every_score_is_the_reference_s(string path)
    {
        using var client = new HttpClient { BaseAddress = door.Address };
        var tei = path == "/rerank";
        var seen = 0;
        foreach (var group in TestModels.Lines("tiny-wordpiece-rerank", "golden-pairs.jsonl").GroupBy(static line => line.Said("query")))
        {
            var pairs = group.ToArray();
            var documents = pairs.Select(static pair => pair.Said("document")).ToArray();

            var reply = await PostAsync(client, path,
                tei ? new { model = "cross", query = group.Key, texts = documents, raw_scores = true } : new { model = "cross", query = group.Key, documents });

            var results = (tei ? reply : reply.GetProperty("results")).EnumerateArray().ToArray();
            Assert.Equal(Enumerable.Range(0, pairs.Length), results.Select(static result => result.GetProperty("index").GetInt32()).Order());
            foreach (var result in results)
            {
                var logit = pairs[result.GetProperty("index").GetInt32()].GetProperty("logit").GetDouble();
                var expected = tei ? logit : 1 / (1 + Math.Exp(-logit));
                Assert.Equal(expected, result.GetProperty(tei ? "score" : "relevance_score").GetDouble(), 1e-4);
            }

            seen += results.Length;
        }

        Assert.Equal(299, seen);
    }

    [Fact]
    public async Task Bundled_model_A_text_has_the_same_vector_alone_and_in_any_company()
    {
        using var client = new HttpClient { BaseAddress = door.Address };
        var texts = TestModels.Lines("all-MiniLM-L6-v2", "golden.jsonl").Where(static line => line.GetProperty("ids").GetArrayLength() <= 256).Select(static line => line.Said("text")).Where((_, i) => i % 12 == 0).ToArray();
        Assert.True(texts.Length > 40);

        // All in one call; each in its own call, concurrently; each alone.
        var together = await EmbedAsync(client, texts);
        var crowded = await Task.WhenAll(texts.Select(async text => (await EmbedAsync(client, text))[0]));
        var wrong = new List<string>();
        for (var i = 0; i < texts.Length; i++)
        {
            var alone = i % 4 == 0 ? (await EmbedAsync(client, texts[i]))[0] : crowded[i];
            foreach (var vector in new[] { together[i], crowded[i] })
            {
                var off = 1 - TensorPrimitives.CosineSimilarity(alone, vector);
                if (!(off <= 1e-5)) wrong.Add($"{off}: {texts[i]}");
            }
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task Folder_names_no_Normalize_Vectors_keep_their_length_unless_the_dialect_scales_them()
    {
        using var client = new HttpClient { BaseAddress = door.Address };
        const string text = "tokens of one text, far apart";

        var tokens = (await PostAsync(client, "/embed_all", new { model = "raw", inputs = text }))[0].EnumerateArray().Select(Floats).ToArray();
        float[] whole = [.. Enumerable.Range(0, tokens[0].Length).Select(i => (float)tokens.Average(token => (double)token[i]))];
        var unit = new float[whole.Length];
        TensorPrimitives.Divide(whole, TensorPrimitives.Norm<float>(whole), unit);
        var openAi = Floats((await PostAsync(client, "/v1/embeddings", new { model = "raw", input = text })).GetProperty("data")[0].GetProperty("embedding"));
        var older = Floats((await PostAsync(client, "/api/embeddings", new { model = "raw", prompt = text })).GetProperty("embedding"));
        var ollama = Floats((await PostAsync(client, "/api/embed", new { model = "raw", input = text })).GetProperty("embeddings")[0]);
        var tei = Floats((await PostAsync(client, "/embed", new { model = "raw", inputs = text }))[0]);
        var teiRaw = Floats((await PostAsync(client, "/embed", new { model = "raw", inputs = text, normalize = false }))[0]);

        Assert.False(Math.Abs(TensorPrimitives.Norm<float>(whole) - 1) < 0.01, "this text's vector has length 1 anyway");
        Assert.All([openAi, older, teiRaw], vector => Assert.InRange(TensorPrimitives.Distance(whole, vector), 0, 1e-4f));
        Assert.All([ollama, tei], vector => Assert.InRange(TensorPrimitives.Distance(unit, vector), 0, 1e-4f));
    }

    private static float[] Floats(JsonElement list) => [.. list.EnumerateArray().Select(static number => number.GetSingle())];

    private static async Task<float[][]> EmbedAsync(HttpClient client, params string[] texts)
    {
        var reply = await PostAsync(client, "/v1/embeddings", new { model = "all-minilm-q4", input = texts });
        return [.. reply.GetProperty("data").EnumerateArray().Select(static item => Floats(item.GetProperty("embedding")))];
    }

    private static async Task<JsonElement> PostAsync(HttpClient client, string path, object body)
    {
        using var reply = await client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        var text = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(reply.IsSuccessStatusCode, text);
        return JsonDocument.Parse(text).RootElement.Clone();
    }
}
