using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A path that the proxy and a host could resolve differently reaches no host, whichever client sends it.</summary>
public sealed class UnclearPathTests(UnclearPathTests.Door door) : IClassFixture<UnclearPathTests.Door>
{
    public sealed class Door : FrontDoor
    {
        internal FakeBackend Models { get; private set; } = null!;

        protected override string Sections()
        {
            Models = Host();
            Models.Answer(exchange => exchange.JsonAsync("{}"));
            return $"""
                [[backends]]
                name = "models"
                url = "{Models.Url}"
                dialects = ["openai"]
                models = ["m", "org/m"]
                """;
        }
    }

    [Theory]
    [InlineData("/v1//moderations")]
    [InlineData("/v1/moderations//")]
    [InlineData("/v1//load_lora_adapter?a=b")]
    [InlineData("/v1/audio%2fspeech")]
    [InlineData("/v1/audio%2Fspeech")]
    [InlineData("/v1/audio%252fspeech")]
    [InlineData("/v1/audio%5cspeech")]
    [InlineData("/v1/./moderations")]
    [InlineData("/v1/moderations/.")]
    [InlineData("/v1/embeddings/../load_lora_adapter")]
    [InlineData("/v1/embeddings/..%2fload_lora_adapter")]
    [InlineData("/v1/embeddings/%2e%2e/load_lora_adapter")]
    [InlineData("/v1/embeddings/.%2E/load_lora_adapter")]
    [InlineData("/v1/embeddings/%252e%252e/load_lora_adapter")]
    [InlineData("/v1/models/../load_lora_adapter")]
    [InlineData("/v1/../api/delete")]
    [InlineData("/x/../v1/load_lora_adapter")]
    [InlineData("http://127.0.0.1/v1//moderations")]
    public async Task Path_could_be_read_in_two_ways_It_is_refused(string target)
    {
        await using var client = await RawClient.ConnectAsync(door.Address);
        const string Body = """{"model":"m","input":"x"}""";
        await client.SendAsync(Encoding.ASCII.GetBytes($"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            + $"Content-Length: {Body.Length}\r\n\r\n{Body}"));
        var reply = await client.ReadReplyAsync();

        Assert.Equal(400, reply.Status);
        Assert.Contains("in its path", reply.Text, StringComparison.Ordinal);
        Assert.Empty(door.Models.Calls);
    }

    [Theory]
    [InlineData("/v1/models/org/m")]
    [InlineData("/v1/models/org%2Fm")]
    [InlineData("/v1/models/org%2fm?a=//..")]
    public async Task Models_name_has_a_slash_It_is_found_however_that_is_sent(string path) => Assert.Equal(200, (await door.GetAsync(path)).Status);

    [Fact]
    public async Task Anthropics_client_sends_such_a_path_It_is_refused_in_its_dialect()
    {
        var reply = await door.PostAsync("/v1/messages//count_tokens", "{}");

        Assert.Equal((400, "invalid_request_error"), (reply.Status, reply.ErrorType));
    }
}
