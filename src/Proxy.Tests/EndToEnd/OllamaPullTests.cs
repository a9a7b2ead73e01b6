using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>After a model was pulled or deleted through the proxy, the listing changes at once.</summary>
public sealed class OllamaPullTests(OllamaPullTests.Door door) : IClassFixture<OllamaPullTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override string Sections()
        {
            var host = Host();
            host.Pages["/api/version"] = """{"version":"0.12.0"}""";
            host.Pages["/api/tags"] = """{"models":[]}""";
            host.Questions["/api/show"] = """{"details":{},"model_info":{},"capabilities":["completion"]}""";
            host.Answer(async exchange =>
            {
                switch (exchange.Request.Target)
                {
                    case "/api/pull":
                        await exchange.HeadAsync("application/x-ndjson");
                        await exchange.ChunkAsync("{\"status\":\"pulling manifest\"}\n");
                        host.Pages["/api/tags"] = """{"models":[{"name":"fresh:latest","model":"fresh:latest","digest":"d"}]}""";
                        await exchange.ChunkAsync("{\"status\":\"success\"}\n");
                        await exchange.EndAsync();
                        break;
                    case "/api/chat":
                        await exchange.StreamAsync(Ollama.Lines, Ollama.Stream("hello"));
                        break;
                }
            });
            return $"""
                [[backends]]
                name = "llama"
                url = "{host.Url}"
                dialects = ["ollama"]
                """;
        }
    }

    [Fact]
    public async Task Model_is_pulled_It_answers_as_soon_as_the_stream_has_ended()
    {
        Assert.Equal(404, (await door.PostAsync("/api/chat", Ollama.Request("fresh"))).Status);

        var pull = await door.PostAsync("/api/pull", """{"model":"fresh"}""");
        var chat = await door.PostAsync("/api/chat", Ollama.Request("fresh"));

        Assert.Equal("success", pull.JsonLines[^1].GetProperty("status").GetString());
        Assert.Equal((200, "hello"), (chat.Status, Ollama.Read(chat)));
    }
}
