using System.Text.Json;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class ModelCatalogTests
{
    private static async Task<IReadOnlyList<ModelListing>> ListAsync(string? details, Func<string, bool>? mayUse = null)
    {
        using var house = new House(new ProxyConfig
        {
            Aliases = new Dictionary<string, string> { ["small"] = "llama3", ["nowhere"] = "gone", ["mine"] = "configured" },
            Backends = [House.At("a", "configured", "llama3"), House.At("b")],
        });
        house["a"].State.Report = new([DialectFamily.OpenAi], [new("llama3:latest", 8192, true, details is null ? null : JsonElement.Parse(details))], null,
            null);
        house["b"].State.Report = new([DialectFamily.OpenAi], [new("other", null, null, null), new("llama3:latest", 1, null, null)], null, null);
        house.Directory.Refresh();
        var probe = new BackendProbe(house.Directory, house.Slots, static (_, _) => throw new NotSupportedException(), house.Log, house.Time);
        return await new ModelCatalog(house.Directory, probe).ListAsync(mayUse ?? (static _ => true));
    }

    [Fact]
    public async Task All_hosts_Are_listed_in_order_and_once_aliases_last()
    {
        var listed = await ListAsync(null);

        Assert.Equal(["llama3:latest", "configured", "llama3", "other", "small", "mine"], listed.Select(m => m.Name));
        Assert.Equal([8192, null, 8192, null, 8192, null], listed.Select(m => m.ContextLength));
        Assert.Equal("b", listed[3].OwnedBy);
    }

    [Fact]
    public async Task Key_may_use_some_Only_those_are_listed()
    {
        Assert.Equal(["small"], (await ListAsync(null, static name => name == "small")).Select(m => m.Name));
    }

    [Fact]
    public async Task Alias_Is_listed_with_the_model_it_stands_for()
    {
        var listed = await ListAsync("""{"size":123}""");

        Assert.Equal([null, null, null, null, "llama3:latest", "configured"], listed.Select(m => m.Resolved));
        Assert.Equal((123L, true), (listed[4].Size!.Value, listed[4].Loaded!.Value));
    }

    [Fact]
    public async Task Model_that_one_host_has_loaded_Is_loaded()
    {
        using var house = new House(House.At("a"), House.At("b"), House.At("c"));
        house["a"].State.Report = new([DialectFamily.OpenAi], [new("m", 1000, false, null), new("n", null, false, null)], null, null);
        house["b"].State.Report = new([DialectFamily.OpenAi], [new("m", 2000, true, null)], null, null);
        house["c"].State.Report = new([DialectFamily.OpenAi], [new("m", null, null, null)], null, null);
        house.Directory.Refresh();
        var catalog = new ModelCatalog(house.Directory,
            new BackendProbe(house.Directory, house.Slots, static (_, _) => throw new NotSupportedException(), house.Log, house.Time));

        var listed = await catalog.ListAsync(static _ => true);

        Assert.Equal([("m", 1000, true), ("n", null, false)], listed.Select(m => (m.Name, m.ContextLength, m.Loaded!.Value)));
        Assert.Equal("m", (await catalog.FindAsync("m:latest"))!.Name[..1]);
        Assert.Null(await catalog.FindAsync("nope"));
    }

    [Fact]
    public async Task What_the_host_says_of_a_model_Is_kept()
    {
        var model = (await ListAsync("""{"owned_by":"me","created":1700000000,"size":123,"digest":"abc","details":{"family":"llama"},"capabilities":["tools",1,"vision"]}"""))[0];

        Assert.Equal(("me", 1700000000L, 123L, "abc"), (model.OwnedBy, model.Created!.Value.ToUnixTimeSeconds(), model.Size, model.Digest));
        Assert.Equal("llama", model.Details!.Value.GetProperty("family").GetString());
        Assert.Equal(["tools", "vision"], model.Capabilities);
        Assert.Equal(2025, (await ListAsync("""{"modified_at":"2025-01-02T03:04:05Z"}"""))[0].Created!.Value.Year);
    }

    [Theory]
    [InlineData("""{"size":"","modified_at":"","digest":""}""")] // llama.cpp
    [InlineData("""{"created":"2024-01-01","size":1.5}""")]
    [InlineData("""{"created":1700000000000}""")] // milliseconds
    [InlineData("""{"created":-1,"modified_at":17}""")]
    [InlineData("""{"details":"x","capabilities":{"a":1},"owned_by":7}""")]
    [InlineData("[]")]
    public async Task Host_describes_a_model_oddly_It_is_listed_without(string details)
    {
        var model = (await ListAsync(details))[0];

        Assert.Equal(("llama3:latest", null, null, null), (model.Name, model.Created, model.Size, model.Details));
        Assert.Empty(model.Capabilities);
    }
}
