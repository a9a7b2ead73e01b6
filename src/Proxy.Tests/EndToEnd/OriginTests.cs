using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A web page that a user happens to visit must not use the models of the user's machine.</summary>
public sealed class OriginTests(OriginTests.Door door, OriginTests.OpenDoor open) : IClassFixture<OriginTests.Door>, IClassFixture<OriginTests.OpenDoor>
{
    public class Door : FrontDoor
    {
        protected override string Sections() => """
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            """;
    }

    public sealed class OpenDoor : Door
    {
        protected override string ServerSettings => "origins = [\"https://chat.example\", \"http://localhost:3000\"]\npublic_urls = [\"https://ai.example\"]";
    }

    public static TheoryData<string, string> Paths => new()
    {
        { "POST", "/v1/chat/completions" },
        { "POST", "/api/chat" },
        { "POST", "/v1/embeddings" },
        { "GET", "/v1/models" },
        { "GET", "/api/tags" },
        { "GET", "/metrics" },
    };

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Page_of_a_foreign_origin_calls_It_gets_403(string method, string path)
    {
        foreach (var header in new[] { "Origin: https://evil.example", "Origin: null", "Origin: http://localhost:3000" })
        {
            var reply = await RawClient.SendAsync(door.Address, method, path,
                method == "POST" ? System.Text.Encoding.UTF8.GetBytes(OpenAi.Request("echo")) : null, header, "Content-Type: text/plain");

            Assert.True(reply.Status == 403, $"{header} {path}: {reply.Status} {reply.Text}");
            Assert.Null(reply.Header("access-control-allow-origin"));
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public async Task Name_of_a_stranger_points_to_this_machine_It_gets_403(string method, string path)
    {
        // DNS rebinding: the page's own host name resolves to 127.0.0.1, so the browser sees no other origin.
        var reply = await RawClient.SendAsync(door.Address, method, path, method == "POST" ? System.Text.Encoding.UTF8.GetBytes(OpenAi.Request("echo")) : null,
            $"Host: evil.example:{door.Address.Port}");

        Assert.True(reply.Status == 403, $"{path}: {reply.Status} {reply.Text}");
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("localhost")]
    [InlineData("[::1]")]
    public async Task Host_is_this_machine_by_any_name_Call_is_served(string host)
    {
        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request("echo"), $"Host: {host}:{door.Address.Port}");

        Assert.Equal(200, reply.Status);
    }

    [Theory]
    [InlineData("GET /v1/models HTTP/1.1")]
    [InlineData("GET /v1/models?a=b HTTP/1.1")] // a query: the loops leave it to Kestrel
    public async Task Network_resolves_a_bare_name_to_this_machine_It_gets_403_which_names_the_remedy(string line)
    {
        await using var client = await RawClient.ConnectAsync(door.Address);
        await client.SendAsync(System.Text.Encoding.ASCII.GetBytes($"{line}\r\nHost: evil\r\nOrigin: http://evil\r\n\r\n"));
        var reply = await client.ReadReplyAsync();

        Assert.Equal(403, reply.Status);
        Assert.Contains("[server] public_urls", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Page_of_the_proxys_own_origin_calls_It_is_served()
    {
        var reply = await door.PostAsync("/v1/chat/completions", OpenAi.Request("echo"), $"Origin: http://127.0.0.1:{door.Address.Port}");

        Assert.Equal(200, reply.Status);
    }

    [Theory]
    [InlineData("https://ai.example", 200)] // the browser's view if a server in front ends TLS
    [InlineData("https://chat.example", 200)]
    [InlineData("https://ai.example.evil.example", 403)]
    [InlineData("https://evil.example", 403)]
    public async Task Server_in_front_speaks_TLS_A_page_of_the_public_url_is_one_of_ours(string origin, int status)
    {
        var reply = await open.PostAsync("/v1/chat/completions", OpenAi.Request("echo"), "Host: ai.example", $"Origin: {origin}");

        Assert.Equal(status, reply.Status);
    }

    [Theory]
    [InlineData("X-Forwarded-For: 203.0.113.7")]
    [InlineData("Forwarded: for=203.0.113.7")]
    public async Task Server_in_front_passes_a_strangers_call_on_What_is_for_this_machine_alone_needs_a_key(string header)
    {
        Assert.Equal(401, (await open.GetAsync("/metrics", "Host: ai.example", header)).Status);
        Assert.Equal("""{"status":"ready"}""", (await open.GetAsync("/ready", "Host: ai.example", header)).Text);
        Assert.Equal(200, (await open.GetAsync("/metrics", "Host: ai.example")).Status);
    }

    [Fact]
    public async Task Page_asks_beforehand_without_being_allowed_It_gets_no_permission()
    {
        var reply = await RawClient.SendAsync(door.Address, "OPTIONS", "/v1/chat/completions", null, "Origin: https://evil.example",
            "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type");

        Assert.Equal(403, reply.Status);
        Assert.Null(reply.Header("access-control-allow-origin"));
    }

    [Fact]
    public async Task Origin_is_allowed_Preflight_and_call_are_answered()
    {
        var preflight = await RawClient.SendAsync(open.Address, "OPTIONS", "/v1/chat/completions", null, "Origin: https://chat.example",
            "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type,x-stainless-lang");
        var reply = await open.PostAsync("/v1/chat/completions", OpenAi.Request("echo", stream: true), "Origin: https://chat.example");

        Assert.Equal(204, preflight.Status);
        Assert.Equal("https://chat.example", preflight.Header("access-control-allow-origin"));
        Assert.Contains("POST", preflight.Header("access-control-allow-methods"), StringComparison.Ordinal);
        foreach (var header in new[] { "authorization", "content-type", "x-stainless-lang" })
            Assert.Contains(header, preflight.Header("access-control-allow-headers"), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(200, reply.Status);
        Assert.Equal("https://chat.example", reply.Header("access-control-allow-origin"));
        Assert.Contains("Origin", reply.Header("vary"), StringComparison.OrdinalIgnoreCase);
        Assert.Equal("hello", OpenAi.Read(reply));
    }

    [Fact]
    public async Task Origins_are_set_Another_one_still_gets_403()
    {
        var reply = await open.PostAsync("/v1/chat/completions", OpenAi.Request("echo"), "Origin: https://chat.example.evil.example");
        var preflight = await RawClient.SendAsync(
            open.Address, "OPTIONS", "/v1/chat/completions", null, "Origin: https://evil.example", "Access-Control-Request-Method: POST");

        Assert.Equal(403, reply.Status);
        Assert.Equal(403, preflight.Status);
    }

    [Fact]
    public async Task Origin_is_allowed_Errors_can_be_read_by_the_page_too()
    {
        var reply = await open.PostAsync("/v1/chat/completions", OpenAi.Request("nobody-serves-this"), "Origin: http://localhost:3000");

        Assert.Equal(404, reply.Status);
        Assert.Equal("http://localhost:3000", reply.Header("access-control-allow-origin"));
    }
}
