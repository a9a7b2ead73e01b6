using System.Text;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>Clients for embeddings and reranking, each with a host of another dialect.</summary>
[Trait("Category", "Sdk")]
public sealed class EmbeddingSdkTests(EmbeddingSdkTests.Door door) : IClassFixture<EmbeddingSdkTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override string Sections()
        {
            var (openAi, ollama, tei) = (Host(), Host(), Host());
            // Sends numbers, whichever encoding is asked for.
            openAi.Answer(exchange => exchange.JsonAsync("""{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8,0,-0.0]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"""));
            ollama.Answer(exchange => exchange.JsonAsync(Encoding.UTF8.GetString(Wire.Recording("ollama/embed.list"))));
            tei.Answer(exchange => exchange.JsonAsync(Encoding.UTF8.GetString(Wire.Recording("tei/rerank.rerank"))));
            return Backend("openai", openAi, "openai-embed") + Backend("ollama", ollama, "ollama-embed") + Backend("tei", tei, "tei-rerank");
        }

        private static string Backend(string dialect, FakeBackend host, string model) => $"""

            [[backends]]
            name = "{dialect}"
            url = "{host.Url}"
            dialects = ["{dialect}"]
            models = ["{model}"]

            """;
    }

    [Fact]
    public async Task Clients_for_JavaScript_embed_and_rerank_Everything_works()
    {
        var worked = await Script.NodeAsync("embed.mjs", door.Address);

        Assert.Equal(6, worked.Count);
    }
}
