using System.Net;
using System.Net.Http.Json;
using System.Numerics.Tensors;
using System.Text.Json;
using Proxy.Tests.Harness;
using Proxy.Tests.Inference;

namespace Proxy.Tests.EndToEnd;

/// <summary>Models inside the process, over HTTP.</summary>
public sealed class LocalModelTests
{
    private const string Listen = """
        [server]
        listen = ["127.0.0.1:0"]
        [log]
        format = "json"
        """;

    [Fact]
    public async Task Without_configuration_The_model_inside_embeds_in_OpenAI_s_and_Ollama_s_words()
    {
        await using var proxy = await ProxyProcess.StartAsync(Listen);
        using var client = new HttpClient { BaseAddress = proxy.Address };
        var line = TestModels.Lines("all-minilm-q4", "golden.jsonl").First();

        var openAi = await PostAsync(client, "/v1/embeddings", new { model = "all-minilm-q4", input = line.Said("text") });
        var ollama = await PostAsync(client, "/api/embed", new { model = "all-minilm", input = new[] { line.Said("text") } });

        Assert.InRange(TensorPrimitives.CosineSimilarity(line.Vector()!, Floats(openAi.GetProperty("data")[0].GetProperty("embedding"))), 0.999f, 1.0001f);
        Assert.InRange(TensorPrimitives.CosineSimilarity(line.Vector()!, Floats(ollama.GetProperty("embeddings")[0])), 0.999f, 1.0001f);
        Assert.Equal(line.GetProperty("ids").GetArrayLength(), openAi.GetProperty("usage").GetProperty("prompt_tokens").GetInt32());
    }

    [Fact]
    public async Task Rerankers_in_folders_Rerank_and_the_model_inside_does_by_cosine()
    {
        await using var proxy = await ProxyProcess.StartAsync($"""
            {Listen}
            [[inference.models]]
            name = "cross"
            path = "{TestModels.Folder("tiny-wordpiece-rerank")}"
            [[inference.models]]
            name = "late"
            path = "{TestModels.Folder("tiny-wordpiece-colbert")}"
            """);
        using var client = new HttpClient { BaseAddress = proxy.Address };
        var documents = new[] { "a man is sleeping", "streams of tokens cross the proxy", "a pod in a cluster" };

        foreach (var model in (string[])["cross", "late", "all-minilm-q4"])
        {
            var reply = await PostAsync(client, "/v1/rerank", new { model, query = "tokens cross the proxy", documents });

            var first = reply.GetProperty("results")[0];
            Assert.Equal(1, first.GetProperty("index").GetInt32());
            Assert.InRange(first.GetProperty("relevance_score").GetSingle(), 0.2f, 1f);
            Assert.Equal(model == "all-minilm-q4", reply.TryGetProperty("method", out var method) && method.GetString() == "cosine");
        }
    }

    [Fact]
    public async Task Models_of_this_process_Are_in_every_listing()
    {
        await using var proxy = await ProxyProcess.StartAsync(Listen);
        using var client = new HttpClient { BaseAddress = proxy.Address };

        var openAi = await client.GetStringAsync("/v1/models", TestContext.Current.CancellationToken);
        var ollama = await client.GetStringAsync("/api/tags", TestContext.Current.CancellationToken);
        var (code, table) = await proxy.CommandAsync("models");

        Assert.Contains("\"all-minilm-q4\"", openAi, StringComparison.Ordinal);
        Assert.Contains("\"all-minilm-q4\"", ollama, StringComparison.Ordinal);
        Assert.Equal(0, code);
        Assert.Matches(@"all-minilm-q4\s+\(this proxy\)\s+256", table);
    }

    [Fact]
    public async Task Turned_off_The_model_inside_is_not_there()
    {
        await using var proxy = await ProxyProcess.StartAsync(Listen + "\n[inference]\nbundled = false\n");
        using var client = new HttpClient { BaseAddress = proxy.Address };

        using var reply = await client.PostAsJsonAsync("/v1/embeddings", new { model = "all-minilm-q4", input = "a" }, TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.NotFound, reply.StatusCode);
    }

    [Fact]
    public async Task A_model_in_a_folder_Is_loaded_before_the_proxy_is_ready()
    {
        await using var proxy = await ProxyProcess.StartAsync($"""
            {Listen}
            [[inference.models]]
            name = "tiny"
            path = "{TestModels.Folder("tiny-bpe-embed")}"
            """);
        using var client = new HttpClient { BaseAddress = proxy.Address };

        await proxy.Log.EventAsync("model_loaded");

        await Patience.Until(async () => (await client.GetAsync("/ready", TestContext.Current.CancellationToken)).IsSuccessStatusCode, "readiness");
        var reply = await PostAsync(client, "/v1/embeddings", new { model = "tiny", input = new[] { "a", "b" }, dimensions = 64 });
        Assert.Equal([64, 64], reply.GetProperty("data").EnumerateArray().Select(static row => row.GetProperty("embedding").GetArrayLength()));
    }

    [Fact]
    public async Task A_model_whose_graph_is_broken_Keeps_the_proxy_from_being_ready_and_says_why()
    {
        var folder = Directory.CreateTempSubdirectory("broken-model");
        try
        {
            foreach (var file in (string[])["config.json", "tokenizer.json"])
            {
                File.Copy(Path.Combine(TestModels.Folder("tiny-bpe-embed"), file), Path.Combine(folder.FullName, file));
            }

            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "model.onnx"), "no graph", TestContext.Current.CancellationToken);
            await using var proxy = await ProxyProcess.StartAsync($"""
                {Listen}
                [[inference.models]]
                name = "broken"
                path = "{folder.FullName}"
                """);
            using var client = new HttpClient { BaseAddress = proxy.Address };

            var problem = await proxy.Log.EventAsync("model_not_loaded");

            Assert.Contains("model.onnx", ProxyLog.Text(problem, "reason"), StringComparison.Ordinal);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await client.GetAsync("/ready", TestContext.Current.CancellationToken)).StatusCode);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<JsonElement> PostAsync(HttpClient client, string path, object body)
    {
        using var reply = await client.PostAsJsonAsync(path, body, TestContext.Current.CancellationToken);
        var text = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(reply.IsSuccessStatusCode, text);
        return JsonDocument.Parse(text).RootElement.Clone();
    }

    private static float[] Floats(JsonElement list) => [.. list.EnumerateArray().Select(static number => number.GetSingle())];
}
