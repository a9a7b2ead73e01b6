using System.ClientModel;
using System.ClientModel.Primitives;
using System.Numerics.Tensors;
using OpenAI;
using OpenAI.Embeddings;
using Proxy.Tests.Harness;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Sdk;

/// <summary>
/// Clients for embeddings and reranking, with the models inside the proxy: the bundled one and those in folders. The answers must equal the reference's, number
/// by number.
/// </summary>
[Trait("Category", "Sdk")]
public sealed class LocalModelSdkTests(LocalModelSdkTests.Door door) : IClassFixture<LocalModelSdkTests.Door>
{
    public sealed class Door : FrontDoor
    {
        private readonly LocalModelFolders folders = new();

        protected override string Sections() => LocalModelFolders.Sections(folders.Path);

        public override async ValueTask DisposeAsync()
        {
            await base.DisposeAsync();
            folders.Dispose();
        }
    }

    private OpenAIClient Client =>
        new(new ApiKeyCredential("sk-unused"), new OpenAIClientOptions { Endpoint = new Uri(door.Address, "/v1"), RetryPolicy = new ClientRetryPolicy(0) });

    [Fact]
    public async Task Clients_for_JavaScript_embed_and_rerank_Answers_are_the_reference_s()
    {
        var worked = await Script.NodeAsync("local.mjs", door.Address, LocalModelFolders.Golden);

        Assert.Equal(LocalModelFolders.ThingsInJavaScript, worked.Count);
    }

    [Fact]
    public async Task Clients_for_Python_embed_Answers_are_the_reference_s()
    {
        var worked = await Script.PythonAsync("local_client.py", door.Address, LocalModelFolders.Golden);

        Assert.Equal(LocalModelFolders.ThingsInPython, worked.Count);
    }

    [Theory]
    [InlineData("all-minilm-q4", "all-minilm-q4")]
    [InlineData("tiny", "tiny-bpe-embed")]
    public async Task OpenAI_client_for_NET_embeds_Vectors_are_the_reference_s(string model, string folder)
    {
        var lines = TestModels.Lines(folder, "golden.jsonl").Where(static line => line.Vector() is not null && line.Said("text").Length > 0).Take(100)
            .ToArray();
        var client = Client.GetEmbeddingClient(model);

        var one = (await client.GenerateEmbeddingAsync(lines[0].Said("text"), cancellationToken: TestContext.Current.CancellationToken)).Value;
        var many = (await client.GenerateEmbeddingsAsync(lines.Select(static line => line.Said("text")),
            cancellationToken: TestContext.Current.CancellationToken)).Value;

        Assert.Equal(lines.Length, many.Count);
        Agree(model, lines[0].Vector()!, one.ToFloats().Span);
        for (var i = 0; i < lines.Length; i++)
        {
            Assert.Equal(i, many[i].Index);
            Agree(model, lines[i].Vector()!, many[i].ToFloats().Span);
        }

        Assert.Equal(lines.Sum(static line => line.GetProperty("ids").GetArrayLength()), many.Usage.InputTokenCount);
    }

    [Fact]
    public async Task OpenAI_client_for_NET_wants_fewer_dimensions_Gets_the_head_of_the_vector()
    {
        var line = TestModels.Lines("tiny-bpe-embed", "golden.jsonl").First(static line => line.Vector() is not null && line.Said("text").Length > 10);
        var head = line.Vector()![..16];
        TensorPrimitives.Divide(head, TensorPrimitives.Norm<float>(head), head);

        var cut = (await Client.GetEmbeddingClient("tiny-short")
            .GenerateEmbeddingAsync(line.Said("text"), new EmbeddingGenerationOptions { Dimensions = 16 }, TestContext.Current.CancellationToken)).Value;
        var refused = await Assert.ThrowsAsync<ClientResultException>(() => Client.GetEmbeddingClient("all-minilm-q4")
            .GenerateEmbeddingAsync("a", new EmbeddingGenerationOptions { Dimensions = 16 }, TestContext.Current.CancellationToken));

        Assert.InRange(TensorPrimitives.Distance(head, cut.ToFloats().Span), 0, 1e-4f);
        Assert.Equal(400, refused.Status);
    }

    /// <summary>The bundled model's vectors may differ slightly between processors; those of the models in folders may not.</summary>
    private static void Agree(string model, ReadOnlySpan<float> expected, ReadOnlySpan<float> vector)
    {
        Assert.Equal(expected.Length, vector.Length);
        if (model == "tiny") Assert.InRange(TensorPrimitives.Distance(expected, vector), 0, 1e-4f);
        else Assert.InRange(TensorPrimitives.CosineSimilarity(expected, vector), 0.999f, 1.0001f);
    }
}
