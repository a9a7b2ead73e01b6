using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Which clients may call, which models a key may see and use, and its limits.</summary>
public sealed class KeyTests(KeyTests.Door door) : IClassFixture<KeyTests.Door>
{
    public sealed class Door : FrontDoor
    {
        internal FakeBackend Secret { get; private set; } = null!;

        internal FakeBackend Open { get; private set; } = null!;

        protected override string Sections()
        {
            Secret = Host();
            Open = Host();
            Secret.Answer(Fine);
            Open.Answer(Fine);
            Secret.Pages["/v1/models"] = """{"object":"list","data":[{"id":"learned-secret","object":"model","created":1,"owned_by":"x"}]}""";
            return $"""
                [aliases]
                "secret-alias" = "secret-model"
                [[backends]]
                name = "secret"
                url = "{Secret.Url}"
                dialects = ["openai"]
                models = ["secret-model"]
                prefixes = ["secret"]
                [[backends]]
                name = "open"
                url = "{Open.Url}"
                dialects = ["openai"]
                models = ["open-model", "open-other"]
                prefixes = ["open"]
                {Key("everything")}
                {Key("limited")}
                models = ["open-*"]
                {Key("one-at-a-time")}
                concurrency = 1
                {Key("three-a-minute")}
                requests_per_minute = 3
                """;
        }

        private static string Key(string name) => $"""
            [[auth.keys]]
            name = "{name}"
            sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("sk-" + name)))}"
            """;

        private static Task Fine(FakeExchange exchange) => exchange.JsonAsync(OpenAi.Whole("fine"));
    }

    [Theory]
    [InlineData("Authorization: Bearer sk-everything")]
    [InlineData("authorization: bearer sk-everything")]
    [InlineData("x-api-key: sk-everything")]
    [InlineData("api-key: sk-everything")]
    public async Task Key_is_right_Call_is_served_and_the_log_names_it(string header)
    {
        var (reply, line) = await door.ChatAsync("open-model", stream: false, "", header);

        Assert.Equal(200, reply.Status);
        Assert.Equal("everything", line["key"]);
        Assert.DoesNotContain("sk-everything", string.Concat(door.Open.Calls.Select(call => call.Head)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Authorization: Bearer sk-wrong")]
    [InlineData("Authorization: Bearer ")]
    [InlineData("Authorization: Basic c2s6ZXZlcnl0aGluZw==")]
    [InlineData("x-api-key: SK-EVERYTHING")]
    [InlineData("x-api-key: sk-everythin")]
    [InlineData("x-api-key: everything")]
    public async Task Key_is_missing_or_wrong_Client_gets_401_everywhere(string header)
    {
        string[] headers = header.Length == 0 ? [] : [header];

        var (chat, line) = await door.ChatAsync("secret-model", stream: false, "", headers);
        var ollama = await door.PostAsync("/api/chat", Ollama.Request("secret-model"), headers);

        Assert.Equal(401, chat.Status);
        Assert.Equal("authentication_error", chat.ErrorType);
        Assert.Equal("refused client 401", line.Verdict);
        Assert.Equal(401, ollama.Status);
        Assert.NotEmpty(ollama.Json.GetProperty("error").GetString()!);
        foreach (var path in new[] { "/v1/models", "/v1/models/secret-model", "/api/tags", "/v1/embeddings" })
        {
            var reply = await door.GetAsync(path, headers);
            Assert.True(reply.Status == 401, $"{path}: {reply.Status}");
            Assert.DoesNotContain("secret-model", reply.Text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/")]
    [InlineData("/api/version")]
    public async Task Path_is_open_No_key_is_needed(string path) => Assert.Equal(200, (await door.GetAsync(path)).Status);

    [Fact]
    public async Task Readiness_is_asked_without_a_key_Only_the_status_is_told()
    {
        var reply = await door.GetAsync("/ready");

        Assert.True(reply.Status is 200 or 503);
    }

    [Fact]
    public async Task Metrics_are_asked_on_loopback_They_are_open() => Assert.Equal(200, (await door.GetAsync("/metrics")).Status);

    [Theory]
    [InlineData("/v1/load_lora_adapter")]
    [InlineData("/v1/unload_lora_adapter")]
    [InlineData("/v1/model/unload")]
    [InlineData("/v1/model/unload/")]
    [InlineData("/v1/model%2funload", 400)]
    [InlineData("/v1/uploads")]
    [InlineData("/v1/fine_tuning/jobs")]
    [InlineData("/v1/realtime/sessions")]
    [InlineData("/v1/audio/voices")]
    [InlineData("/v1/Embeddings")]
    [InlineData("/v1/moderations;x")]
    [InlineData("/v1/moderations/x")]
    [InlineData("/v1/moderations?x=/v1/embeddings", 200)]
    [InlineData("/v1/moderations/", 200)]
    [InlineData("/v1/audio/speech", 200)]
    [InlineData("/v1/images/generations", 200)]
    public async Task Key_limited_to_models_asks_a_host_for_anything_Only_inference_is_relayed(string path, int expected = 403)
    {
        const string Body = """{"model":"open-model","input":"x"}""";
        var before = door.Open.Calls.Count;

        var limited = await door.PostAsync(path, Body, "x-api-key: sk-limited");
        var everything = await door.PostAsync(path, Body, "x-api-key: sk-everything");

        Assert.True(limited.Status == expected, limited.Text);
        Assert.Equal(expected == 400 ? 400 : 200, everything.Status);
        if (expected == 403) Assert.Contains("needs a key without `models`", limited.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal(expected switch { 200 => 2, 403 => 1, _ => 0 }, door.Open.Calls.Count - before);
    }

    [Theory]
    [InlineData("secret-model")]
    [InlineData("secret-alias")]
    [InlineData("learned-secret")]
    [InlineData("secret-by-prefix")]
    public async Task Key_may_not_use_a_model_It_looks_like_one_that_does_not_exist(string model)
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models", "x-api-key: sk-everything")).Text.Contains("learned-secret", StringComparison.Ordinal),
            "the host's models are known");

        foreach (var (path, body) in new[]
        {
            ("/v1/chat/completions", OpenAi.Request(model)), ("/api/chat", Ollama.Request(model)),
            ("/v1/embeddings", $$"""{"model":"{{model}}","input":"x"}"""),
        })
        {
            var forbidden = await door.PostAsync(path, body, "x-api-key: sk-limited");
            var unknown = await door.PostAsync(path, body.Replace(model, "never-heard-of", StringComparison.Ordinal), "x-api-key: sk-limited");

            Assert.Equal(404, forbidden.Status);
            Assert.Equal(unknown.Status, forbidden.Status);
            Assert.Equal(unknown.Text.Replace("never-heard-of", model, StringComparison.Ordinal), forbidden.Text);
        }

        var one = await door.GetAsync($"/v1/models/{model}", "x-api-key: sk-limited");
        var none = await door.GetAsync("/v1/models/never-heard-of", "x-api-key: sk-limited");
        Assert.Equal(404, one.Status);
        Assert.Equal(none.Text.Replace("never-heard-of", model, StringComparison.Ordinal), one.Text);
        Assert.Empty(door.Secret.Calls);
    }

    [Fact]
    public async Task Key_may_use_some_models_Listings_show_only_those()
    {
        foreach (var path in new[] { "/v1/models", "/api/tags" })
        {
            var limited = (await door.GetAsync(path, "x-api-key: sk-limited")).Text;
            var everything = (await door.GetAsync(path, "x-api-key: sk-everything")).Text;

            Assert.Contains("open-model", limited, StringComparison.Ordinal);
            Assert.DoesNotContain("secret", limited, StringComparison.Ordinal);
            Assert.Contains("secret-model", everything, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Key_may_use_a_model_It_is_served()
    {
        var (reply, line) = await door.ChatAsync("open-other", stream: false, "", "x-api-key: sk-limited");

        Assert.Equal(200, reply.Status);
        Assert.Equal("limited", line["key"]);
    }

    [Fact]
    public async Task Key_has_a_call_running_A_second_gets_429_and_after_the_first_it_is_served()
    {
        var go = new TaskCompletionSource();
        door.Open.Once(async exchange =>
        {
            await go.Task;
            await exchange.JsonAsync(OpenAi.Whole("fine"));
        });
        var arrival = door.Open.NextCallAsync();
        var first = door.PostAsync("/v1/chat/completions", OpenAi.Request("open-one-at-a-time"), "x-api-key: sk-one-at-a-time");
        await arrival;

        var (second, line) = await door.ChatAsync("open-one-at-a-time", stream: false, "", "x-api-key: sk-one-at-a-time");
        go.SetResult();
        await first;
        var (third, _) = await door.ChatAsync("open-one-at-a-time", stream: false, "", "x-api-key: sk-one-at-a-time");

        Assert.Equal(429, second.Status);
        Assert.Equal("rate_limit_error", second.ErrorType);
        Assert.InRange(int.Parse(second.Header("retry-after")!, CultureInfo.InvariantCulture), 1, 60);
        Assert.Equal("refused client 429", line.Verdict);
        Assert.Equal(200, third.Status);
    }

    [Fact]
    public async Task Key_has_used_up_its_minute_Client_gets_429_and_when_to_come_again()
    {
        for (var i = 0; i < 3; i++)
            Assert.Equal(200, (await door.ChatAsync("open-model", stream: false, "", "x-api-key: sk-three-a-minute")).Reply.Status);

        var (reply, line) = await door.ChatAsync("open-model", stream: false, "", "x-api-key: sk-three-a-minute");
        var (other, _) = await door.ChatAsync("open-model", stream: false, "", "x-api-key: sk-everything");

        Assert.Equal(429, reply.Status);
        Assert.Equal("rate_limit_error", reply.ErrorType);
        Assert.InRange(int.Parse(reply.Header("retry-after")!, CultureInfo.InvariantCulture), 1, 60);
        Assert.Equal("refused client 429", line.Verdict);
        Assert.Equal(200, other.Status);
    }

    [Fact]
    public async Task Page_of_a_foreign_origin_has_a_key_It_is_served()
    {
        // A browser does not send keys by itself, so a page with a key was given one.
        var (reply, _) = await door.ChatAsync("open-model", stream: false, "", "Origin: https://evil.example", "x-api-key: sk-everything");

        Assert.Equal(200, reply.Status);
    }
}
