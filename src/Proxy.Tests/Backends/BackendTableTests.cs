using Proxy.Backends;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class BackendTableTests
{
    private static readonly ProxyConfig Config = new()
    {
        DefaultBackend = "rest",
        Aliases = new Dictionary<string, string> { ["small"] = "qwen3:8b", ["explicit"] = "listed", ["loop"] = "small" },
        Backends =
        [
            House.At("one", "explicit", "shared"),
            House.At("two", "shared"),
            House.At("short") with { Prefixes = ["qwen"] },
            House.At("long") with { Prefixes = ["qwen3", "glob-*-q4"] },
            House.At("long2") with { Prefixes = ["qwen?3", "qwen3"] },
            House.At("learner"),
            House.At("rest"),
        ],
    };

    private static House With(params string[] learned)
    {
        var house = new House(Config);
        house["learner"].State.Report = new([DialectFamily.OpenAi], [.. learned.Select(name => new HostModel(name, null, null, null))], null, null);
        house.Directory.Refresh();
        return house;
    }

    private static string Ask(House house, string model)
        => house.Directory.Table.Resolve(model) is { } found ? $"{found.Served} at {string.Join(",", found.Candidates.Select(b => b.Name))}" : "nobody";

    [Theory]
    [InlineData("shared", "shared at one,two")] // all backends of the first rank that matches
    [InlineData("small", "qwen3:8b at long,long2")] // an alias is applied before every rule; then the longest prefix wins
    [InlineData("explicit", "listed at learner")] // the alias wins, although a backend lists that name
    [InlineData("loop", "small at rest")] // an alias is resolved only once
    [InlineData("qwen2", "qwen2 at short")]
    [InlineData("qwen3", "qwen3 at long,long2")]
    [InlineData("qwenX3-b", "qwenX3-b at short")] // a pattern must match the whole name
    [InlineData("qwenX3", "qwenX3 at long2")] // the pattern's 5 fixed characters beat the prefix's 4
    [InlineData("glob-a-q4", "glob-a-q4 at long")]
    [InlineData("glob-a-q4-x", "glob-a-q4-x at rest")]
    [InlineData("QWEN3", "QWEN3 at rest")] // prefixes are case-sensitive
    [InlineData("listed", "listed at learner")]
    [InlineData("llama3", "llama3 at learner")] // Ollama's default tag :latest is added
    [InlineData("llama3:latest", "llama3:latest at learner")]
    [InlineData("shared:latest", "shared at one,two")] // Ollama's clients add :latest
    [InlineData("small:latest", "qwen3:8b at long,long2")]
    [InlineData("listed:latest", "listed at learner")]
    [InlineData("qwen3:latest", "qwen3:latest at long,long2")] // no exact match: the name is passed on as it was asked
    [InlineData("LLAMA3", "llama3 at learner")] // Ollama's names are case-insensitive
    [InlineData("Llama3:LATEST", "llama3:latest at learner")]
    [InlineData("SHARED", "shared at one,two")]
    [InlineData("qwen3-learned", "qwen3-learned at learner")] // a name that a host reported wins over any prefix
    [InlineData("unheard", "unheard at rest")]
    public void Resolve_Follows_the_order(string model, string expected)
    {
        using var house = With("listed", "llama3:latest", "qwen3-learned", "shared");

        Assert.Equal(expected, Ask(house, model));
        Assert.Equal(expected, Ask(house, model)); // the second time from the cache
    }

    [Fact]
    public async Task Names_of_a_host_are_not_learned_It_serves_its_prefixes_and_models_only()
    {
        using var house = new House(House.At("gpu") with { Prefixes = ["qwen"] }, House.At("ollama", "named") with { Prefixes = ["llama"], Learn = false });
        house["ollama"].State.Report = new HostReport([DialectFamily.OpenAi],
            [.. ((string[])["qwen3:8b", "llama3", "gemma", "named"]).Select(name => new HostModel(name, null, null, null))], null, null);
        house.Directory.Refresh();

        Assert.Equal("qwen3:8b at gpu", Ask(house, "qwen3:8b"));
        Assert.Equal("llama3 at ollama", Ask(house, "llama3"));
        Assert.Equal("named at ollama", Ask(house, "named"));
        Assert.Null(house.Directory.Table.Resolve("gemma"));
        var catalog = new ModelCatalog(house.Directory,
            new BackendProbe(house.Directory, house.Slots, (_, _) => throw new InvalidOperationException(), house.Log, house.Time));
        Assert.Equal(["llama3", "named"], (await catalog.ListAsync(static _ => true)).Select(model => model.Name));
        Assert.Empty(house.Directory.Table.Overruled());
    }

    [Fact]
    public void Host_lists_what_anothers_prefix_would_get_It_is_told()
    {
        using var house = new House(
            House.At("gpu", "qwen-own") with { Prefixes = ["qwen", "q"] }, House.At("ollama") with { Prefixes = ["qwen2"] },
            House.At("both") with { Prefixes = ["qwen"] });
        Lists("ollama", "qwen3:8b", "qwen2:7b", "llama3", "qwen-own", "qwen-both");
        Lists("both", "qwen-both");
        house.Directory.Refresh();

        Assert.Equal(
            [
                "qwen of gpu by ollama: qwen3:8b, qwen-both", // not under the shorter prefix "q", and not qwen-own, which gpu's configuration names
                "qwen of both by ollama: qwen3:8b",
                "qwen of gpu by both: qwen-both",
            ],
            house.Directory.Table.Overruled().Select(one => $"{one.Prefix} of {one.Backend} by {one.By}: {string.Join(", ", one.Models)}"));

        void Lists(string host, params string[] models) =>
            house[host].State.Report = new HostReport([DialectFamily.OpenAi], [.. models.Select(name => new HostModel(name, null, null, null))], null, null);
    }

    [Fact]
    public void No_default_Unknown_model_has_nobody()
    {
        using var house = new House(House.At("one", "m"));

        Assert.Null(house.Directory.Table.Resolve("other"));
    }

    [Fact]
    public void A_backend_is_down_Model_does_not_fall_to_a_lower_rank()
    {
        using var house = With();
        house["one"].State.MarkDown("gone");
        house["two"].State.MarkDown("gone");

        Assert.Equal("shared at one,two", Ask(house, "shared"));
    }

    [Fact]
    public void Ten_thousand_unknown_names_The_real_ones_are_still_found()
    {
        using var house = With("listed");
        for (var i = 0; i < 10_000; i++) house.Directory.Table.Resolve($"unheard-{i}");

        Assert.Equal("listed at learner", Ask(house, "listed"));
        Assert.Equal("unheard-9999 at rest", Ask(house, "unheard-9999"));
    }

    [Theory]
    [InlineData("http://h:1", "/v1/chat/completions", "/v1/chat/completions")]
    [InlineData("http://h:1/", "/v1/chat/completions", "/v1/chat/completions")]
    [InlineData("http://h:1/v1", "/v1/chat/completions", "/v1/chat/completions")]
    [InlineData("http://h:1/v1/", "/v1/models", "/v1/models")]
    [InlineData("http://h:1/gateway/v1", "/v1/chat/completions", "/gateway/v1/chat/completions")]
    [InlineData("http://h:1/gateway", "/v1/chat/completions", "/gateway/v1/chat/completions")]
    [InlineData("http://h:1/v1", "/api/chat", "/api/chat")] // an Ollama host, configured by its OpenAI URL
    public void Path_of_a_request_Has_the_urls_path_and_one_v1(string url, string path, string expected)
    {
        using var house = new House(new BackendConfig { Name = "a", Url = url });

        Assert.Equal(expected, house["a"].PathOf(path));
    }
}
