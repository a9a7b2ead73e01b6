using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Http;

namespace Proxy.Tests.Http;

public sealed class ApiKeyGateTests
{
    private static readonly ApiKeyConfig Me = new() { Name = "me", Sha256 = ApiKeyConfig.Digest("secret") };
    private static readonly ApiKeyConfig You = new() { Name = "you", Sha256 = ApiKeyConfig.Digest("ключ"), Models = ["small", "qwen*"] };

    private static string Admit(ProxyConfig config, bool local, params string[] headers)
    {
        var context = new DefaultHttpContext();
        context.Features.Set(new ConnectionFeature(local, admin: false));
        context.Request.Scheme = "http";
        context.Request.Headers.Host = "localhost:11435";
        foreach (var header in headers)
        {
            var at = header.IndexOf(':', StringComparison.Ordinal);
            context.Request.Headers[header[..at]] = header[(at + 1)..].TrimStart();
        }

        return new ApiKeyGate(config, TimeProvider.System).Admit(context, out var caller) is { } refusal
            ? refusal.Status.ToString(System.Globalization.CultureInfo.InvariantCulture)
            : caller.Name;
    }

    [Theory]
    [InlineData("me", "Authorization: Bearer secret")]
    [InlineData("me", "authorization: bearer   secret ")]
    [InlineData("me", "x-api-key: secret")]
    [InlineData("me", "api-key: secret")]
    [InlineData("you", "x-api-key: ключ")]
    [InlineData("me", "Authorization: Bearer secret", "Host: anything.example", "Origin: https://evil.example")] // with a valid key, any page
    [InlineData("me", "Authorization: Basic dTpw", "x-api-key: secret")]
    [InlineData("401", "Authorization: Bearer secrets")]
    [InlineData("401", "Authorization: Bearer ")]
    [InlineData("401", "Authorization: Bearer SECRET")]
    [InlineData("401", "x-api-key: ")]
    [InlineData("401", "Authorization: secret")]
    [InlineData("401")]
    public void Keys_are_configured_Only_a_valid_one_is_let_in(string expected, params string[] headers)
    {
        var config = new ProxyConfig { Auth = new AuthConfig { Keys = [Me, You] } };

        Assert.Equal(expected, Admit(config, local: false, headers));
        Assert.Equal(expected, Admit(config, local: true, headers)); // the same from this machine
    }

    [Fact]
    public void Caller_is_known_on_its_connection_Each_request_is_still_judged_by_its_own_headers_and_the_keys_of_now()
    {
        var config = new ProxyConfig { Auth = new AuthConfig { Keys = [Me] } };
        var gate = new ApiKeyGate(config, TimeProvider.System);
        var context = new DefaultHttpContext();
        context.Features.Set(new ConnectionFeature(local: true, admin: false));
        var (bearer, basic) = ("Bearer secret", "Basic dTpw");
        string Send(string authorization, string? key = null)
        {
            context.Request.Headers.Authorization = authorization;
            context.Request.Headers.Remove("x-api-key");
            if (key is not null) context.Request.Headers["x-api-key"] = key;
            return gate.Admit(context, out var caller) is null ? caller.Name : "refused";
        }

        Assert.Equal(["me", "me"], [Send(bearer), Send(bearer)]);
        Assert.Equal(["me", "refused", "refused"], [Send(basic, "secret"), Send(basic, "wrong"), Send(basic)]);

        Assert.Equal("me", Send(bearer));
        gate.Apply(config with { Auth = new AuthConfig { Keys = [You] } });
        Assert.Equal("refused", Send(bearer));
    }

    [Fact]
    public void A_key_is_very_long_It_is_looked_at_all_the_same()
    {
        var key = new string('k', 5000);

        Assert.Equal("long", Admit(new ProxyConfig { Auth = new AuthConfig { Keys = [Me with { Name = "long", Sha256 = ApiKeyConfig.Digest(key) }] } },
            local: false, $"x-api-key: {key}"));
    }

    [Theory]
    [InlineData(true, false, "anonymous")]
    [InlineData(false, false, "401")]
    [InlineData(false, true, "anonymous")]
    public void No_keys_Anonymous_is_this_machine_unless_the_file_says_otherwise(bool local, bool allow, string expected)
    {
        var config = new ProxyConfig { Auth = new AuthConfig { AllowAnonymous = allow } };

        Assert.Equal(expected, Admit(config, local));
        Assert.Equal(expected, Admit(config, local, "Authorization: Bearer sk-dummy")); // SDKs always send a key, if only a dummy
    }

    [Fact]
    public void Keys_and_anonymous_A_wrong_key_is_still_wrong()
    {
        var config = new ProxyConfig { Auth = new AuthConfig { Keys = [Me], AllowAnonymous = true } };

        Assert.Equal("anonymous", Admit(config, local: false));
        Assert.Equal("me", Admit(config, local: false, "x-api-key: secret"));
        Assert.Equal("401", Admit(config, local: false, "x-api-key: wrong"));
    }

    [Theory]
    [InlineData("localhost:11435", null, true)]
    [InlineData("127.0.0.1:11435", null, true)]
    [InlineData("[::1]:11435", null, true)]
    [InlineData("[::ffff:127.0.0.1]:11435", null, true)]
    [InlineData("192.168.1.7:11435", null, true)]
    [InlineData("LOCALHOST", null, true)]
    [InlineData("localhost.", null, true)]
    [InlineData("localhost.:11435", "http://localhost.:11435", true)]
    [InlineData("{machine}", null, true)]
    [InlineData("{machine}.:11435", null, true)]
    [InlineData("{MACHINE}:11435", "http://{MACHINE}:11435", true)]
    [InlineData("{machine}.local:11435", null, true)]
    [InlineData("{machine}.LOCAL.", null, true)]
    [InlineData("", null, true)] // allowed by HTTP/1.0
    [InlineData("evil", null, false)] // a hostile network may resolve such a name to loopback
    [InlineData("evil", "http://evil", false)]
    [InlineData("gpu-box:11435", null, false)]
    [InlineData("gpu-box.local", null, false)]
    [InlineData("evil.localhost", null, false)]
    [InlineData("proxy.home.arpa", null, false)]
    [InlineData("host.docker.internal:11435", null, false)]
    [InlineData("box.lan", null, false)]
    [InlineData("{machine}.evil.example", null, false)]
    [InlineData("{machine}.localx", null, false)]
    [InlineData("x{machine}", null, false)]
    [InlineData("localhost..", null, false)]
    [InlineData(".localhost", null, false)]
    [InlineData("localhost%2e", null, false)]
    [InlineData("[::1", null, false)]
    [InlineData("[]", null, false)]
    [InlineData("[evil]", null, false)]
    [InlineData("evil.example", null, false)] // DNS rebinding
    [InlineData("evil.example:11435", "http://evil.example:11435", false)] // the same origin from the browser's point of view
    [InlineData("localhost.evil.example", null, false)]
    [InlineData("127.0.0.1.evil.example", null, false)]
    [InlineData("127.0.0.1.", null, true)]
    [InlineData("localhost:11435", "http://localhost:11435", true)]
    [InlineData("localhost:11435", "http://LOCALHOST:11435", true)]
    [InlineData("localhost:11435", "http://localhost:3000", false)] // a page of another program
    [InlineData("localhost:11435", "https://localhost:11435", false)]
    [InlineData("localhost:11435", "https://evil.example", false)]
    [InlineData("localhost:11435", "http://evil", false)]
    [InlineData("localhost:11435", "null", false)]
    [InlineData("localhost:11435", "https://chat.example", true)]
    [InlineData("localhost:11435", "https://CHAT.example", true)]
    [InlineData("localhost:11435", "https://chat.example.evil.example", false)]
    [InlineData("proxy.example", null, true)] // listed as an origin
    [InlineData("proxy.example", "http://proxy.example", true)]
    [InlineData("ai.example", null, true)] // the name of a public URL, behind a reverse proxy that terminates TLS
    [InlineData("ai.example", "https://ai.example", true)]
    [InlineData("AI.example.:8080", "https://AI.example", true)]
    [InlineData("ai.example", "http://ai.example", true)] // its own origin, without the reverse proxy
    [InlineData("ai.example", "https://ai.example:8443", false)]
    [InlineData("127.0.0.1:11435", "https://ai.example", true)]
    [InlineData("box.docker.internal:9999", null, true)]
    [InlineData("[2001:db8::1]:8080", "http://[2001:db8::1]:8080", true)]
    [InlineData("sub.ai.example", null, false)]
    public void A_page_calls_Only_by_a_name_of_this_machine_and_from_here_or_a_listed_origin(string host, string? origin, bool expected)
    {
        var config = new ProxyConfig
        {
            Server = new ServerConfig { Origins = ["https://chat.example", "http://proxy.example"],
                PublicUrls = ["https://ai.example/llm", "http://box.docker.internal:8080", "http://[2001:db8::1]:8080"] },
        };
        string Named(string text) =>
            text.Replace("{machine}", Environment.MachineName.ToLowerInvariant(), StringComparison.Ordinal)
                .Replace("{MACHINE}", Environment.MachineName.ToUpperInvariant(), StringComparison.Ordinal);

        Assert.Equal(expected ? "anonymous" : "403",
            Admit(config, local: true, origin is null ? [$"Host: {Named(host)}"] : [$"Host: {Named(host)}", $"Origin: {Named(origin)}"]));
    }

    [Fact]
    public void Host_is_refused_The_message_names_the_remedy()
    {
        var context = new DefaultHttpContext();
        context.Features.Set(new ConnectionFeature(local: true, admin: false));
        context.Request.Scheme = "http";
        context.Request.Headers.Host = "host.docker.internal:11435";

        var refusal = new ApiKeyGate(new ProxyConfig(), TimeProvider.System).Admit(context, out _)!;

        Assert.Contains("add \"http://host.docker.internal:11435\" to [server] public_urls", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_origin_is_allowed_Every_page_may_call()
    {
        Assert.Equal("anonymous",
            Admit(new ProxyConfig { Server = new ServerConfig { Origins = ["*"] } }, local: true, "Host: evil.example", "Origin: https://evil.example"));
    }

    [Theory]
    [InlineData("small", true)]
    [InlineData("smaller", false)]
    [InlineData("qwen3:8b", true)]
    [InlineData("Qwen3", false)]
    [InlineData("small:latest", true)] // Ollama and its clients treat it as the same name
    [InlineData("small:8b", false)]
    [InlineData("qwen3:8b:latest", true)]
    public void Key_may_use_models_Only_those_it_lists(string model, bool expected)
    {
        Assert.Equal(expected, new Caller("you", You, null).MayUse(model));
        Assert.True(new Caller("me", Me, null).MayUse(model));
        Assert.True(Caller.Anonymous.MayUse(model));
    }

    [Fact]
    public void Reload_takes_a_key_away_It_is_not_valid_any_more_and_the_others_count_on()
    {
        var gate = new ApiKeyGate(new ProxyConfig { Auth = new AuthConfig { Keys = [Me with { Concurrency = 1 }, You] } }, TimeProvider.System);
        var context = new DefaultHttpContext();
        context.Request.Headers["x-api-key"] = "secret";
        Assert.Null(gate.Admit(context, out var caller));
        Assert.Null(caller.Enter());

        gate.Apply(new ProxyConfig { Auth = new AuthConfig { Keys = [Me with { Concurrency = 1 }] } });

        Assert.Null(gate.Admit(context, out var again));
        Assert.Equal(429, again.Enter()!.Status);
        caller.Leave();
        Assert.Null(again.Enter());
        context.Request.Headers["x-api-key"] = "ключ";
        Assert.Equal(401, gate.Admit(context, out _)!.Status);
    }

    [Fact]
    public void Concurrency_is_used_up_One_more_is_refused_until_one_left()
    {
        var use = new KeyUse(new FakeTimeProvider());
        var key = Me with { Concurrency = 2 };
        Assert.Null(use.Enter(key));
        Assert.Null(use.Enter(key));

        var refusal = use.Enter(key)!;

        Assert.Equal((ProxyErrorKind.RateLimited, 429), (refusal.Kind, refusal.Status));
        use.Leave();
        Assert.Null(use.Enter(key));
        Assert.NotNull(use.Enter(key));
    }

    [Fact]
    public void Minute_is_used_up_It_fills_evenly()
    {
        var time = new FakeTimeProvider();
        var use = new KeyUse(time);
        var key = Me with { RequestsPerMinute = 6 };
        for (var i = 0; i < 6; i++) Assert.Null(use.Enter(key));

        Assert.Equal(TimeSpan.FromSeconds(10), use.Enter(key)!.RetryAfter);
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(TimeSpan.FromSeconds(1), use.Enter(key)!.RetryAfter);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(use.Enter(key));
        Assert.NotNull(use.Enter(key));

        time.Advance(TimeSpan.FromHours(1));
        for (var i = 0; i < 6; i++) Assert.Null(use.Enter(key)); // at most one minute's requests are saved up
        Assert.NotNull(use.Enter(key));
    }
}
