using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Ollama's paths besides chat: listing models, describing one, listing loaded ones, and changing them.</summary>
public sealed class OllamaHostTests(OllamaHostTests.Door door) : IClassFixture<OllamaHostTests.Door>
{
    private const string All = "Authorization: Bearer sk-all";
    private const string Few = "Authorization: Bearer sk-few";

    public sealed class Door : FrontDoor
    {
        internal FakeBackend Llama { get; private set; } = null!;

        internal FakeBackend Gpu { get; private set; } = null!;

        protected override string Sections()
        {
            (Llama, Gpu) = (Host(), Host());
            Llama.Pages["/api/version"] = """{"version":"0.12.0"}""";
            Llama.Pages["/api/tags"] = """
                {"models":[{"name":"llama3:latest","model":"llama3:latest","modified_at":"2026-01-02T03:04:05.123456789+02:00","size":4000,"digest":"d1",
                  "details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B","quantization_level":"Q4_K_M"}},
                 {"name":"cold:7b","model":"cold:7b","digest":"d2"}]}
                """;
            Llama.Pages["/api/ps"] = """{"models":[{"name":"llama3:latest","model":"llama3:latest","size":5000,"digest":"d1","details":"""
                + """{"family":"llama"},"expires_at":"2026-11-23T08:38:23.5+02:00","size_vram":4500,"context_length":4096}]}""";
            Llama.Answer(AnswerAsync);
            Gpu.Pages["/v1/models"] =
                """{"object":"list","data":[{"id":"Qwen/Qwen3-8B","object":"model","created":1700000000,"owned_by":"vllm","max_model_len":40960}]}""";
            return $$"""
                [inference]
                bundled = false
                [aliases]
                "small" = "llama3"
                "big" = "Qwen/Qwen3-8B"
                [[backends]]
                name = "llama"
                url = "{{Llama.Url}}"
                [[backends]]
                name = "gpu"
                url = "{{Gpu.Url}}"
                [[auth.keys]]
                name = "all"
                sha256 = "{{Convert.ToHexStringLower(SHA256.HashData("sk-all"u8))}}"
                [[auth.keys]]
                name = "few"
                sha256 = "{{Convert.ToHexStringLower(SHA256.HashData("sk-few"u8))}}"
                models = ["llama3"]
                """;
        }

        internal async Task WaitAsync() => await Patience.Until(async () => (await GetAsync("/api/tags", All)).Json.GetProperty("models")
            .GetArrayLength() == 5, "both hosts have told their models");

        private static async Task AnswerAsync(FakeExchange exchange)
        {
            switch (exchange.Request.Target)
            {
                case "/api/show":
                    await exchange.WholeAsync(200, "application/json; charset=utf-8",
                        """{"modelfile":"FROM x","parameters":"num_ctx                        8192","details":{"family":"llama"},"model_info":"""
                            + """{"general.architecture":"llama","llama.context_length":131072},"capabilities":"""
                            + """["completion","tools"],"modified_at":"2026-01-02T03:04:05Z"}""");
                    break;
                case "/api/pull":
                    await exchange.HeadAsync("application/x-ndjson");
                    await exchange.ChunkAsync("{\"status\":\"pulling manifest\"}\n");
                    await exchange.Gone; // the rest is never sent: the first part must have been passed on
                    break;
                default:
                    await exchange.WholeAsync(200, "text/plain", "");
                    break;
            }
        }
    }

    [Fact]
    public async Task Tags_List_every_host_with_what_editors_require()
    {
        await door.WaitAsync();

        var models = (await door.GetAsync("/api/tags", All)).Json.GetProperty("models").EnumerateArray()
            .ToDictionary(model => model.GetProperty("name").GetString()!);

        Assert.Equal(["llama3:latest", "cold:7b", "Qwen/Qwen3-8B", "small", "big"], models.Keys);
        Assert.All(models.Values, model =>
        {
            Assert.Equal(JsonValueKind.Number, model.GetProperty("size").ValueKind);
            Assert.NotEqual("", model.GetProperty("digest").GetString());
            Assert.True(model.GetProperty("modified_at").TryGetDateTimeOffset(out _));
        });
        Assert.Equal(["completion", "tools"], models["llama3:latest"].GetProperty("capabilities").EnumerateArray().Select(word => word.GetString()));
        Assert.Equal(40960, models["big"].GetProperty("details").GetProperty("context_length").GetInt32());
        Assert.Equal("Qwen/Qwen3-8B", models["big"].GetProperty("details").GetProperty("parent_model").GetString());
    }

    [Fact]
    public async Task Openai_listing_Tells_context_capabilities_and_what_is_loaded()
    {
        await door.WaitAsync();

        var models = (await door.GetAsync("/v1/models", All)).Json.GetProperty("data").EnumerateArray()
            .ToDictionary(model => model.GetProperty("id").GetString()!);

        foreach (var name in (string[])["context_length", "context_window", "max_model_len"])
        {
            Assert.Equal(40960, models["Qwen/Qwen3-8B"].GetProperty(name).GetInt32());
            Assert.Equal(4096, models["llama3:latest"].GetProperty(name).GetInt32()); // the context with which it runs now
        }

        Assert.Equal(131072, models["llama3:latest"].GetProperty("max_context_length").GetInt32());
        Assert.Equal("loaded", models["llama3:latest"].GetProperty("status").GetProperty("value").GetString());
        Assert.Equal("unloaded", models["cold:7b"].GetProperty("status").GetProperty("value").GetString());
        Assert.Equal("tools", models["llama3:latest"].GetProperty("capabilities")[1].GetString());
        Assert.Equal("llama3:latest", models["small"].GetProperty("root").GetString());
        Assert.False(models["Qwen/Qwen3-8B"].TryGetProperty("capabilities", out _)); // vLLM does not report capabilities
        Assert.Equal("llama3", (await door.GetAsync("/v1/models/llama3", All)).Json.GetProperty("id").GetString());
    }

    [Fact]
    public async Task Ps_Says_what_is_loaded_on_every_host()
    {
        await door.WaitAsync();

        var models = (await door.GetAsync("/api/ps", All)).Json.GetProperty("models").EnumerateArray()
            .ToDictionary(model => model.GetProperty("name").GetString()!);

        Assert.Equal(["llama3:latest", "Qwen/Qwen3-8B", "small", "big"], models.Keys);
        Assert.Equal(("2026-11-23T08:38:23.5+02:00", 4500),
            (models["llama3:latest"].GetProperty("expires_at").GetString(), models["llama3:latest"].GetProperty("size_vram").GetInt32()));
        Assert.Equal(40960, models["Qwen/Qwen3-8B"].GetProperty("context_length").GetInt32());
        Assert.EndsWith("+00:00", models["Qwen/Qwen3-8B"].GetProperty("expires_at").GetString(), StringComparison.Ordinal);
        Assert.True(models["Qwen/Qwen3-8B"].GetProperty("expires_at").GetDateTimeOffset().Year > 2200);
    }

    [Theory]
    [InlineData("""{"model":"small"}""", """{"model":"llama3"}""")]
    [InlineData("""{"name":"llama3:latest"}""", """{"model":"llama3:latest"}""")]
    [InlineData("""{"model":"LLAMA3","verbose":true,"model":"x","name":"y"}""", null)]
    [InlineData("""{"name":"llama3","verbose":true}""", """{"model":"llama3","verbose":true}""")]
    public async Task Show_of_an_Ollama_model_Is_its_hosts_own(string asked, string? passed)
    {
        await door.WaitAsync();

        var reply = await door.PostAsync("/api/show", asked, All);

        if (passed is null)
        {
            Assert.Equal(404, reply.Status); // if both names are given, the proxy and the host use the same one
            return;
        }

        Assert.Equal(200, reply.Status);
        Assert.Contains(passed, door.Llama.Calls.Where(call => call.Target == "/api/show").Select(call => call.Text));
        Assert.Equal("FROM x", reply.Json.GetProperty("modelfile").GetString());
        Assert.Equal("application/json; charset=utf-8", reply.ContentType);
    }

    [Theory]
    [InlineData("Qwen/Qwen3-8B")]
    [InlineData("Qwen/Qwen3-8B:latest")]
    [InlineData("big")]
    public async Task Show_of_another_hosts_model_Is_what_is_known(string asked)
    {
        await door.WaitAsync();

        var reply = await door.PostAsync("/api/show", $$"""{"model":"{{asked}}"}""", All);

        var show = reply.Json;
        var architecture = show.GetProperty("model_info").GetProperty("general.architecture").GetString()!;
        Assert.Equal((200, 40960), (reply.Status, show.GetProperty("model_info").GetProperty(architecture + ".context_length").GetInt32()));
        Assert.Equal("Qwen3-8B", show.GetProperty("model_info").GetProperty("general.basename").GetString());
        Assert.Equal("num_ctx                        40960", show.GetProperty("parameters").GetString());
        Assert.Equal(["completion"], show.GetProperty("capabilities").EnumerateArray().Select(word => word.GetString()));
        Assert.Equal("{{ .Prompt }}", show.GetProperty("template").GetString());
        Assert.Equal(JsonValueKind.Array, show.GetProperty("details").GetProperty("families").ValueKind);
        Assert.Equal(2023, show.GetProperty("modified_at").GetDateTimeOffset().Year);
    }

    [Theory]
    [InlineData("""{"model":"nope"}""", 404, "model 'nope:latest' not found")]
    [InlineData("""{"model":"nope:1"}""", 404, "model 'nope:1' not found")]
    [InlineData("{}", 400, "model is required")]
    [InlineData("", 400, "missing request body")]
    [InlineData("[]", 400, "the body must be a JSON object")]
    public async Task Show_of_nothing_Is_refused_in_Ollamas_words(string body, int status, string message)
    {
        await door.WaitAsync();

        var reply = await door.PostAsync("/api/show", body, All);

        Assert.Equal((status, message), (reply.Status, reply.Json.GetProperty("error").GetString()));
    }

    [Fact]
    public async Task Key_with_a_limit_Sees_its_models_and_changes_none()
    {
        await door.WaitAsync();
        var before = door.Llama.Calls.Count(call => call.Target is not "/api/show");

        Assert.Equal(["llama3:latest"], (await door.GetAsync("/api/tags", Few)).Json.GetProperty("models").EnumerateArray()
            .Select(model => model.GetProperty("name").GetString()));
        Assert.Equal(["llama3:latest"], (await door.GetAsync("/api/ps", Few)).Json.GetProperty("models").EnumerateArray()
            .Select(model => model.GetProperty("name").GetString()));
        Assert.Equal(200, (await door.PostAsync("/api/show", """{"model":"llama3:latest"}""", Few)).Status);
        Assert.Equal("model 'cold:7b' not found", (await door.PostAsync("/api/show", """{"model":"cold:7b"}""", Few)).Json.GetProperty("error").GetString());
        Assert.Equal("model 'small:latest' not found", (await door.PostAsync("/api/show", """{"model":"small"}""", Few)).Json.GetProperty("error").GetString());
        foreach (var (method, path, body) in ((string, string, string)[])[("POST", "/api/pull", """{"model":"llama3"}"""), ("DELETE", "/api/delete",
            """{"model":"llama3"}"""), ("POST", "/api/copy", """{"source":"llama3","destination":"x"}"""), ("POST", "/api/blobs/sha256:0", "x")])
            Assert.Equal(403, (await RawClient.SendAsync(door.Address, method, path, Encoding.UTF8.GetBytes(body), Few)).Status);
        Assert.Equal(before, door.Llama.Calls.Count(call => call.Target is not "/api/show"));
    }

    [Fact]
    public async Task Pull_Streams_as_the_host_says_it()
    {
        await door.WaitAsync();
        await using var client = await RawClient.ConnectAsync(door.Address);

        await client.RequestAsync("POST", "/api/pull", Encoding.UTF8.GetBytes("""{"name":"new-one","stream":true}"""), All);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("pulling manifest");

        Assert.Equal("application/x-ndjson", client.Headers.Single(header => header.Name.Equals("content-type", StringComparison.OrdinalIgnoreCase)).Value);
        Assert.Equal("""{"name":"new-one","stream":true}""", door.Llama.Calls.Single(call => call.Target == "/api/pull").Text);
    }

    [Theory]
    [InlineData("DELETE", "/api/delete", """{"model":"small"}""", """{"model":"llama3"}""")]
    [InlineData("POST", "/api/copy", """{"source":"small","destination":"mine"}""", """{"source":"llama3","destination":"mine"}""")]
    [InlineData("POST", "/api/push", """{"model":"me/other","insecure":true}""", """{"model":"me/other","insecure":true}""")]
    [InlineData("POST", "/api/create", """{"model":"t3","from":"llama3"}""", """{"model":"t3","from":"llama3"}""")]
    [InlineData("POST", "/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2", "file contents", "file contents")]
    public async Task Change_Goes_to_the_Ollama_host_by_the_name_it_knows(string method, string path, string asked, string passed)
    {
        await door.WaitAsync();

        var reply = await RawClient.SendAsync(door.Address, method, path, Encoding.UTF8.GetBytes(asked), All);

        Assert.Equal(200, reply.Status);
        Assert.Contains((method, passed), door.Llama.Calls.Where(call => call.Target == path).Select(call => (call.Method, call.Text)));
    }

    [Theory]
    [InlineData("DELETE", "/api/delete", """{"model":"big"}""")]
    [InlineData("POST", "/api/copy", """{"source":"Qwen/Qwen3-8B","destination":"x"}""")]
    [InlineData("POST", "/api/push", """{"name":"big"}""")]
    public async Task Change_of_another_hosts_model_Is_not_to_be_had(string method, string path, string asked)
    {
        await door.WaitAsync();

        var reply = await RawClient.SendAsync(door.Address, method, path, Encoding.UTF8.GetBytes(asked), All);

        Assert.Equal(501, reply.Status);
        Assert.Contains("needs an Ollama host", reply.Json.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.DoesNotContain(door.Gpu.Calls, call => call.Target.StartsWith("/api/", StringComparison.Ordinal));
    }
}
