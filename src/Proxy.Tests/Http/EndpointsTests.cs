using System.Text.Json;
using Proxy.Config;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Http;

public sealed class EndpointsTests
{
    [Theory]
    [InlineData("GET", "/v1/chat/completions", 405, "POST, OPTIONS")]
    [InlineData("DELETE", "/v1/models", 405, "GET, HEAD, OPTIONS")]
    [InlineData("POST", "/v1/models/x", 405, "GET, HEAD, OPTIONS")]
    [InlineData("GET", "/api/chat", 405, "POST, OPTIONS")]
    [InlineData("PUT", "/health", 405, "GET, HEAD, OPTIONS")]
    [InlineData("GET", "/v1/embeddings", 405, "POST, OPTIONS")]
    [InlineData("GET", "/api/embed", 405, "POST, OPTIONS")]
    [InlineData("POST", "/nowhere", 404, null)]
    [InlineData("POST", "/api/nowhere", 404, null)]
    [InlineData("POST", "/api/pull", 400, null)] // names no model
    [InlineData("GET", "/apiary", 404, null)]
    [InlineData("GET", "/v1/chat/completions/", 405, "POST, OPTIONS")] // some base urls end in a slash
    [InlineData("POST", "/v1/models///", 405, "GET, HEAD, OPTIONS")]
    public async Task Url_or_method_is_not_there_Refused_in_the_dialect_of_the_path(string method, string path, int expected, string? allow)
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        var (status, text, reply) = await edge.SendAsync(method, path, method == "GET" ? null : "{}");

        Assert.Equal((expected, allow), (status, reply.Content.Headers.TryGetValues("Allow", out var values) ? string.Join(", ", values) : null));
        var error = JsonElement.Parse(text).GetProperty("error");
        // Ollama's error is a string
        Assert.Equal(path.StartsWith("/api/", StringComparison.Ordinal) ? JsonValueKind.String : JsonValueKind.Object, error.ValueKind);
    }

    [Theory]
    [InlineData("POST", "/chat/completions", """{"model":"echo","messages":[{"role":"user","content":"hi"}]}""")]
    [InlineData("POST", "/completions", """{"model":"echo","prompt":"hi"}""")]
    [InlineData("POST", "/responses", """{"model":"echo","input":"hi"}""")]
    [InlineData("POST", "/messages", """{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}""")]
    [InlineData("POST", "/messages", "{")] // refused in the same dialect
    [InlineData("POST", "/embeddings", """{"model":"echo","input":"hi"}""")] // refused in the same words
    [InlineData("GET", "/models", null)]
    [InlineData("GET", "/models/", null)]
    [InlineData("GET", "/models/echo", null)]
    [InlineData("GET", "/models/nobody/knows%20it", null)]
    [InlineData("DELETE", "/messages", null)]
    public async Task Url_without_the_version_Is_served_like_the_one_with_it(string method, string path, string? body)
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        var with = await edge.SendAsync(method, "/v1" + path, body);
        var without = await edge.SendAsync(method, path, body);

        Assert.Equal((with.Status, Masked(with.Text)), (without.Status, Masked(without.Text)));
        Assert.Equal(with.Reply.Content.Headers.ContentType, without.Reply.Content.Headers.ContentType);
        var surfaces = edge.Log().Select(line => line.Split(' ').Single(word => word.StartsWith("surface=", StringComparison.Ordinal))).ToArray();
        Assert.Equal(surfaces[0], surfaces[^1]);

        string Masked(string text) =>
            System.Text.RegularExpressions.Regex.Replace(text.Replace("/v1/", "/", StringComparison.Ordinal), "[0-9a-zA-Z]{20,}|[0-9]{9,}", "x");
    }

    [Theory]
    [InlineData("POST", "/messages/count_tokens")]
    [InlineData("POST", "/responses/input_tokens")]
    [InlineData("POST", "/audio/speech")]
    [InlineData("POST", "/images/generations")]
    [InlineData("GET", "/model")]
    public async Task Any_other_url_without_the_version_Is_not_there(string method, string path)
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        Assert.Equal(404, (await edge.SendAsync(method, path, method == "GET" ? null : """{"model":"echo"}""")).Status);
    }

    [Theory]
    [InlineData("/v1/realtime?model=echo")]
    [InlineData("/v1/responses")]
    [InlineData("/v1/chat/completions")]
    [InlineData("/v1/realtime?intent=transcription")]
    public async Task Websocket_is_asked_for_The_refusal_says_that_there_is_none(string target)
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        var (status, text, _) = await edge.SendAsync("GET", target, null, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");

        var error = JsonElement.Parse(text).GetProperty("error");
        Assert.Equal((501, "not_implemented"), (status, error.GetProperty("code").GetString()));
        Assert.Contains("no websockets", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        Assert.Contains(target.Split('?')[0], error.GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/health")]
    [InlineData("/ready")]
    [InlineData("/metrics")]
    [InlineData("/api/version")]
    [InlineData("/v1/models")]
    [InlineData("/api/tags")]
    [InlineData("/v1/models/echo")]
    public async Task Head_Has_the_headers_of_get_and_no_body(string path)
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        var get = await edge.SendAsync("GET", path);
        var head = await edge.SendAsync("HEAD", path);

        Assert.Equal((200, 200, ""), (get.Status, head.Status, head.Text));
        Assert.NotEqual("", get.Text);
        if (path != "/metrics") Assert.Equal(get.Reply.Content.Headers.ContentLength, head.Reply.Content.Headers.ContentLength);
    }

    [Fact]
    public async Task Stranger_from_elsewhere_Gets_status_and_no_details()
    {
        await using var edge = await Edge.StartAsync(new ProxyConfig { Auth = new AuthConfig { Keys = [new ApiKeyConfig { Name = "me",
            Sha256 = ApiKeyConfig.Digest("secret") }] } }, local: false);

        Assert.Equal((200, """{"status":"ready"}"""), (await edge.SendAsync("GET", "/ready")) is var ready ? (ready.Status, ready.Text) : default);
        Assert.Contains("backends", (await edge.SendAsync("GET", "/ready", null, "x-api-key: secret")).Text, StringComparison.Ordinal);
        Assert.Equal(401, (await edge.SendAsync("GET", "/metrics")).Status);
        Assert.Equal(200, (await edge.SendAsync("GET", "/metrics", null, "x-api-key: secret")).Status);
        Assert.Equal(401, (await edge.SendAsync("GET", "/nowhere")).Status); // without a key, the answer does not reveal which paths exist
    }

    [Fact]
    public async Task Page_from_elsewhere_Gets_no_details_either()
    {
        await using var edge = await Edge.StartAsync(BackendConfig.Echo);

        foreach (var header in (string[])["Host: evil.example", "Origin: https://evil.example"])
        {
            Assert.Equal("""{"status":"ready"}""", (await edge.SendAsync("GET", "/ready", null, header)).Text);
            Assert.Equal(403, (await edge.SendAsync("GET", "/metrics", null, header)).Status);
        }

        Assert.Contains("backends", (await edge.SendAsync("GET", "/ready")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ready_Means_that_something_real_can_answer()
    {
        await using var edge = await Edge.StartAsync(House.At("a", "m"), BackendConfig.Echo);
        Assert.Equal(503, (await edge.SendAsync("GET", "/ready")).Status); // the hosts have not been probed yet

        edge.House["a"].State.MarkUp();
        Assert.Equal(200, (await edge.SendAsync("GET", "/ready")).Status);

        edge.House["a"].State.MarkDown("gone");
        var (status, text, _) = await edge.SendAsync("GET", "/ready");
        Assert.Equal(503, status);
        Assert.Contains("gone", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://chat.example", 204)]
    [InlineData("https://evil.example", 403)]
    [InlineData("null", 403)]
    [InlineData(null, 403)]
    public async Task Preflight_Is_answered_to_listed_origins_alone(string? origin, int expected)
    {
        await using var edge = await Edge.StartAsync(new ProxyConfig { Server = new ServerConfig { Origins = ["https://chat.example"] } });

        var (status, _, reply) = await edge.SendAsync("OPTIONS", "/v1/chat/completions", null,
            origin is null ? [] : [$"Origin: {origin}", "Access-Control-Request-Headers: x-stainless-os"]);

        Assert.Equal(expected, status);
        Assert.Equal(expected == 204 ? origin : null, reply.Headers.TryGetValues("Access-Control-Allow-Origin", out var allowed) ? allowed.Single() : null);
        if (expected == 204) Assert.Equal("x-stainless-os", reply.Headers.GetValues("Access-Control-Allow-Headers").Single());
    }
}
