using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Hosts that repeat the request's headers in an error: no client and no log line gets the backend's credentials.</summary>
public sealed class EchoedKeyTests(EchoedKeyTests.Door door) : IClassFixture<EchoedKeyTests.Door>
{
    private const string Key = "sk-backend/0123+abcdef";
    private const string Header = "gate-7f3a9b2c1d";
    private const string Tenant = "engineering";

    public sealed class Door : FrontDoor
    {
        private FakeBackend? host;
        private FakeBackend? anthropic;

        internal FakeBackend A => host!;

        internal FakeBackend Claude => anthropic!;

        protected override string Sections()
        {
            host = Host();
            anthropic = Host();
            return $$"""
                [[backends]]
                name = "keyed"
                url = "{{host.Url}}"
                dialects = ["openai"]
                models = ["m"]
                key = "{{Key}}"
                headers = { "x-gateway-token" = "{{Header}}", "x-tenant" = "{{Tenant}}" }
                [[backends]]
                name = "claude"
                url = "{{anthropic.Url}}"
                dialects = ["anthropic"]
                models = ["c"]
                key = "{{Key}}"
                headers = { "x-gateway-token" = "{{Header}}", "x-tenant" = "{{Tenant}}" }
                """;
        }
    }

    private static string Escaped => Key.Replace("/", "\\/", StringComparison.Ordinal).Replace("+", "\\u002B", StringComparison.Ordinal);

    private static string Told => $"got Bearer {Key} and {Header} of {Tenant} (key {Key})";

    [Theory]
    [InlineData(400, "/v1/chat/completions", false)]
    [InlineData(400, "/v1/chat/completions", true)]
    [InlineData(400, "/v1/messages", false)]
    [InlineData(400, "/v1/embeddings", false)]
    [InlineData(422, "/v1/audio/speech", false)]
    [InlineData(500, "/v1/chat/completions", false)]
    [InlineData(500, "/api/chat", true)]
    [InlineData(503, "/v1/chat/completions", false)]
    public async Task Refusal_Has_it_struck_out(int status, string path, bool stream)
    {
        door.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error(Told, code: $"\"{Key}\""), status, $"openai-debug: {Key}"));

        var (reply, _) = await door.CallAsync(
            path, path is "/v1/messages" ? Anthropic.Request("m") : path is "/v1/embeddings" ? """{"model":"m","input":"a"}""" : OpenAi.Request("m", stream));

        AssertStruck(reply);
        Assert.Contains(Tenant, reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusal_with_escapes_Has_it_struck_out_and_stays_json()
    {
        door.A.Answer(exchange => exchange.JsonAsync($$$"""{"error":{"message":"no such key: {{{Escaped}}}","type":"x","param":null,"code":null}}""", 400));

        var (reply, _) = await door.ChatAsync("m", stream: false);

        Assert.Equal("no such key: [redacted]", reply.ErrorMessage);
        Assert.DoesNotContain("0123", reply.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/chat/completions", false, "m")]
    [InlineData("/v1/chat/completions", true, "m")]
    [InlineData("/v1/messages", true, "m")]
    [InlineData("/v1/messages", false, "c")]
    [InlineData("/v1/messages", true, "c")]
    public async Task Error_inside_a_stream_Has_it_struck_out(string path, bool afterContent, string model)
    {
        door.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), afterContent ? OpenAi.Token("half") : ": wait\n\n", OpenAi.ErrorFrame(Told)));
        door.Claude.Answer(exchange => exchange.StreamAsync(
            Anthropic.Sse, Anthropic.Start(), afterContent ? Anthropic.Open(0, """{"type":"text","text":""}""") + Anthropic.Text(0, "half") : ": wait\n\n",
            Anthropic.ErrorEvent("api_error", Told)));

        var (reply, _) = await door.CallAsync(path, path is "/v1/messages" ? Anthropic.Request(model, stream: true) : OpenAi.Request(model, stream: true));

        AssertStruck(reply);
        Assert.Contains(Tenant, reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Error_as_the_unterminated_last_words_of_a_stream_Has_it_struck_out()
    {
        door.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), OpenAi.ErrorFrame(Told).TrimEnd()));

        var (reply, _) = await door.ChatAsync("m", stream: true);

        AssertStruck(reply);
    }

    [Theory]
    [InlineData(400, "/v1/chat/completions")]
    [InlineData(413, "/v1/messages")]
    [InlineData(400, "/v1/audio/speech")]
    public async Task Error_longer_than_we_hold_Is_said_to_be_cut(int status, string path)
    {
        door.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("it all went wrong " + new string('x', 3 << 20)), status));

        var (reply, _) = await door.CallAsync(path, path is "/v1/messages" ? Anthropic.Request("m") : OpenAi.Request("m"));

        Assert.Equal(status, reply.Status);
        Assert.True(reply.Whole);
        Assert.True(reply.Body.Length < 4096);
        var message = reply.Json.GetProperty("error").GetProperty("message").GetString()!;
        Assert.Contains("it all went wrong", message, StringComparison.Ordinal);
        Assert.Contains("cut here: the host's error is longer than 1 MiB", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Error_that_breaks_off_Is_said_to_be_cut()
    {
        door.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
                + "{\"error\":{\"message\":\"it all");
            exchange.Close();
        });

        var (reply, _) = await door.ChatAsync("m", stream: false);

        Assert.Equal(400, reply.Status);
        Assert.Contains("cut here", reply.ErrorMessage, StringComparison.Ordinal);
    }

    private void AssertStruck(RawReply reply)
    {
        var all = reply.Text + JsonSerializer.Serialize(reply.Headers.Select(header => header.Value))
            + string.Join('\n', door.Proxy.Log.Lines.Select(line => line.GetRawText()).Concat(door.Proxy.Log.Strays));
        Assert.DoesNotContain("sk-backend", all, StringComparison.Ordinal);
        Assert.DoesNotContain(Header, all, StringComparison.Ordinal);
        Assert.Contains("[redacted]", reply.Text, StringComparison.Ordinal);
    }
}
