using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Which host gets a call: by alias, explicit model, listed name, longest prefix or glob, default.</summary>
public sealed class RoutingTests(RoutingTests.Door door) : IClassFixture<RoutingTests.Door>
{
    public sealed class Door : FrontDoor
    {
        private readonly Dictionary<string, FakeBackend> hosts = [];

        protected override string Top => "default_backend = \"fallback\"";

        internal FakeBackend this[string name] => hosts[name];

        protected override string Sections()
        {
            var sections = new StringBuilder("""
                [aliases]
                "gpt-4o" = "exact-model"
                "qwen-alias" = "qwen3-coder-30b"
                "learned-one" = "exact-model"

                """);
            Add("explicit", "models = [\"exact-model\", \"learned-two\"]");
            Add("learned", "prefixes = [\"nothing-\"]", "learned-one", "learned-two", "learned-three", "org/slashed");
            Add("short", "prefixes = [\"qwen\", \"exact\", \"learned\"]");
            Add("long", "prefixes = [\"qwen3-coder\"]");
            Add("glob", "prefixes = [\"*-instruct\"]");
            Add("gone", "models = [\"gone-model\"]\nconnect = \"1s\"");
            Add("fallback", "");
            hosts["gone"].Refuse();
            return sections.ToString();

            void Add(string name, string rule, params string[] lists)
            {
                var host = Host();
                host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(name, exchange.Request.Json.GetProperty("model").GetString()!)));
                host.Pages["/v1/models"] = """{"object":"list","data":["""
                    + string.Join(',', lists.Select(
                        model => $$"""{"id":"{{model}}","object":"model","created":1795000000,"owned_by":"test","max_model_len":32768}"""))
                    + "]}";
                hosts[name] = host;
                sections.AppendLine($"""
                    [[backends]]
                    name = "{name}"
                    url = "{host.Url}"
                    dialects = ["openai"]
                    {rule}
                    """);
            }
        }
    }

    [Theory]
    [InlineData("exact-model", "explicit", "exact-model")]
    [InlineData("gpt-4o", "explicit", "exact-model")]
    [InlineData("qwen2", "short", "qwen2")]
    [InlineData("qwen3-coder-30b", "long", "qwen3-coder-30b")]
    [InlineData("qwen-alias", "long", "qwen3-coder-30b")]
    [InlineData("llama3-instruct", "glob", "llama3-instruct")]
    [InlineData("exact-model-2", "short", "exact-model-2")]
    [InlineData("whatever", "fallback", "whatever")]
    [InlineData("nothing-much", "learned", "nothing-much")]
    public async Task Model_is_asked_for_The_rule_of_the_highest_rank_decides(string model, string backend, string served)
    {
        var (reply, line) = await door.ChatAsync(model, stream: false);

        Assert.True(reply.Status == 200, reply.Text);
        Assert.Equal(backend, Answer(reply));
        Assert.Equal(model, reply.Json.GetProperty("model").GetString());
        Assert.Equal($"{backend} {model} {served} direct", $"{line.Backend} {line["model"]} {line["served"]} {line["route"]}");
        Assert.Equal(served, door[backend].Calls[^1].Json.GetProperty("model").GetString());
    }

    [Theory]
    [InlineData("learned-three", "learned")]
    [InlineData("org/slashed", "learned")]
    [InlineData("learned-two", "explicit")]
    [InlineData("learned-one", "explicit")]
    [InlineData("learned-four", "short")]
    public async Task Host_lists_a_model_It_is_served_there_unless_an_alias_or_an_explicit_name_says_otherwise(string model, string backend)
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains("learned-three", StringComparison.Ordinal), "the host's models are known");

        var (reply, line) = await door.ChatAsync(model, stream: false);

        Assert.Equal(backend, Answer(reply));
        Assert.Equal(backend, line.Backend);
    }

    [Fact]
    public async Task Only_host_of_a_rank_is_down_No_lower_rank_is_asked()
    {
        var (reply, line) = await door.ChatAsync("gone-model", stream: false);

        Assert.True(reply.Status is 502 or 503, $"{reply.Status} {reply.Text}");
        Assert.Equal("backend", line.Fault);
        Assert.DoesNotContain(door["fallback"].Calls, call => call.Text.Contains("gone-model", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Models_are_listed_Hosts_lists_are_joined_with_what_the_file_names()
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains("learned-three", StringComparison.Ordinal), "the host's models are known");

        var reply = await door.GetAsync("/v1/models");

        Assert.Equal(200, reply.Status);
        Assert.StartsWith("application/json", reply.ContentType, StringComparison.Ordinal);
        Assert.Equal("list", reply.Json.GetProperty("object").GetString());
        var models = reply.Json.GetProperty("data").EnumerateArray().ToArray();
        var ids = models.Select(model => model.GetProperty("id").GetString()!).ToArray();
        Assert.Equal(ids.Distinct(), ids);
        Assert.Superset(
            new HashSet<string> { "exact-model", "learned-two", "learned-three", "org/slashed", "gpt-4o", "qwen-alias", "gone-model" }, ids.ToHashSet());
        Assert.All(models, model =>
        {
            Assert.Equal("model", model.GetProperty("object").GetString());
            Assert.Equal(JsonValueKind.Number, model.GetProperty("created").ValueKind);
            Assert.Equal(JsonValueKind.String, model.GetProperty("owned_by").ValueKind);
        });
        Assert.Contains("32768", models.Single(model => model.GetProperty("id").GetString() == "learned-three").GetRawText(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("learned-three", "learned-three")]
    [InlineData("org/slashed", "org/slashed")]
    [InlineData("org%2Fslashed", "org/slashed")]
    [InlineData("gpt-4o", "gpt-4o")]
    public async Task One_model_is_asked_about_It_is_described(string path, string id)
    {
        await Patience.Until(
            async () => (await door.GetAsync("/v1/models")).Text.Contains("learned-three", StringComparison.Ordinal), "the host's models are known");

        var reply = await door.GetAsync($"/v1/models/{path}");

        Assert.True(reply.Status == 200, $"{reply.Status} {reply.Text}");
        Assert.Equal(id, reply.Json.GetProperty("id").GetString());
        Assert.Equal("model", reply.Json.GetProperty("object").GetString());
    }

    [Fact]
    public async Task Model_is_asked_about_that_only_the_default_serves_It_is_described()
    {
        var reply = await door.GetAsync("/v1/models/never-heard-of");

        Assert.Equal(200, reply.Status);
        Assert.Equal("fallback", reply.Json.GetProperty("owned_by").GetString());
    }

    [Fact]
    public async Task Ollama_client_lists_models_It_finds_what_it_needs_of_each()
    {
        await Patience.Until(
            async () => (await door.GetAsync("/api/tags")).Text.Contains("learned-three", StringComparison.Ordinal), "the host's models are known");

        var models = (await door.GetAsync("/api/tags")).Json.GetProperty("models").EnumerateArray().ToArray();

        Assert.Contains(models, model => model.GetProperty("name").GetString()!.StartsWith("learned-three", StringComparison.Ordinal));
        Assert.All(models, model =>
        {
            Assert.NotEmpty(model.GetProperty("name").GetString()!);
            Assert.NotEmpty(model.GetProperty("model").GetString()!);
            Assert.True(model.GetProperty("modified_at").TryGetDateTimeOffset(out _));
            Assert.Equal(JsonValueKind.Number, model.GetProperty("size").ValueKind);
            Assert.Equal(JsonValueKind.String, model.GetProperty("digest").ValueKind);
            var details = model.GetProperty("details");
            foreach (var detail in new[] { "format", "family", "parameter_size", "quantization_level" })
                Assert.Equal(JsonValueKind.String, details.GetProperty(detail).ValueKind);
        });
    }

    private static string? Answer(RawReply reply) => reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString();
}
