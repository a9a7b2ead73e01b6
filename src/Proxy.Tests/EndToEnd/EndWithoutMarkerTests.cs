using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Hosts that give a finish reason and end a stream without its end marker: every client gets a complete answer in its own dialect.</summary>
public sealed class EndWithoutMarkerTests(EndWithoutMarkerTests.Door door) : IClassFixture<EndWithoutMarkerTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 6;

        protected override string HostSettings => """
            first_token = "60s"
            idle = "2s"
            """;
    }

    [Theory]
    [InlineData("/v1/chat/completions", false)]
    [InlineData("/v1/messages", false)]
    [InlineData("/api/chat", false)]
    [InlineData("/v1/chat/completions", true)]
    [InlineData("/v1/messages", true)]
    public async Task Finish_reason_came_The_answer_is_whole(string path, bool staysOpen)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("all of it") + OpenAi.Stop());
            if (staysOpen) await exchange.StallAsync();
            else await exchange.EndAsync();
        });

        var (reply, line) = await door.CallAsync(path, path switch
        {
            "/v1/messages" => Anthropic.Request(lane.Solo, stream: true),
            "/api/chat" => Ollama.Request(lane.Solo, stream: true),
            _ => OpenAi.Request(lane.Solo, stream: true),
        });

        Assert.True(reply.Whole);
        Assert.Equal("ok none 200", line.Verdict);
        switch (path)
        {
            case "/v1/messages":
                Assert.Equal("all of it", Anthropic.Read(reply));
                Assert.Equal("message_stop", Anthropic.Events(reply)[^1].GetProperty("type").GetString());
                break;
            case "/api/chat":
                Assert.Equal("all of it", Ollama.Read(reply));
                Assert.True(reply.JsonLines[^1].GetProperty("done").GetBoolean());
                break;
            default:
                Assert.Equal("all of it", OpenAi.Read(reply));
                Assert.Equal("[DONE]", reply.Events[^1]);
                break;
        }
    }
}
