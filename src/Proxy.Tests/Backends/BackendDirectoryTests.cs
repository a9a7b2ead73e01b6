using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Tests.Backends;

public sealed class BackendDirectoryTests
{
    [Fact]
    public void Reload_of_the_same_host_Keeps_its_connections_and_what_is_known_of_it()
    {
        using var house = new House(House.At("a", "m"));
        var before = house["a"];
        before.State.MarkDown("gone");

        house.Directory.Apply(new ProxyConfig { Backends = [House.At("a", "other") with { Slots = 7, Weight = 2 }] });

        Assert.Same(before.Upstream, house["a"].Upstream);
        Assert.Same(before.State, house["a"].State);
        Assert.Equal((7, false), (house["a"].Slots, house["a"].State.Available));
        Assert.Null(house.Directory.Table.Resolve("m"));
    }

    [Fact]
    public void Reload_moves_a_host_It_is_another_and_calls_under_way_keep_theirs()
    {
        using var house = new House(House.At("a", "m"));
        var before = house["a"];
        before.State.MarkDown("gone");

        house.Directory.Apply(new ProxyConfig { Backends = [House.At("a", "m") with { Url = "http://elsewhere" }] });

        Assert.NotSame(before.Upstream, house["a"].Upstream);
        Assert.True(house["a"].State.Available);
        Assert.False(house.Hosts["a"].Closed);
    }

    [Theory]
    [InlineData("key")]
    [InlineData("header")]
    [InlineData("connect")]
    public void Reload_reaches_a_host_otherwise_It_gets_new_connections(string what)
    {
        var opened = 0;
        using var directory = new BackendDirectory(new ProxyConfig { Backends = [House.At("a")] }, _ => { opened++; return new ScriptedHost(); },
            static _ => null, TimeProvider.System);
        _ = directory.Table;

        directory.Apply(new ProxyConfig
        {
            Backends = [what switch
            {
                "key" => House.At("a") with { Key = "secret" },
                "header" => House.At("a") with { Headers = new Dictionary<string, string> { ["x-tenant"] = "1" } },
                _ => House.At("a") with { Connect = TimeSpan.FromSeconds(1) },
            }],
        });

        Assert.Equal(2, opened);
    }

    [Fact]
    public void Every_way_Is_told_and_closed()
    {
        var told = 0;
        var house = new House(House.At("a"));
        _ = house["a"];
        house.Directory.Changed = () => told++;
        house.Directory.Apply(new ProxyConfig { Backends = [House.At("b")] });
        house.Dispose();

        Assert.Equal(1, told);
        Assert.All(house.Hosts.Values, host => Assert.True(host.Closed));
        Assert.Equal(["a", "b"], house.Hosts.Keys);
    }

    [Theory]
    [InlineData(null, "Authorization", "Bearer secret")]
    [InlineData(DialectFamily.OpenAi, "Authorization", "Bearer secret")]
    [InlineData(DialectFamily.Anthropic, "x-api-key", "secret")]
    internal void Key_Is_shown_as_the_hosts_dialect_wants(DialectFamily? family, string name, string value)
    {
        var target = BackendDirectory.Target(House.At("a") with
        {
            Key = "secret",
            Dialects = family is { } one ? [one] : null,
            Headers = new Dictionary<string, string> { ["x-tenant"] = "1" }
        });

        Assert.Equal([new("x-tenant", "1"), new(name, value)], target.Headers);
    }

    [Theory]
    [InlineData(DialectName.OpenAiChat, DialectName.OpenAiChat, DialectFamily.OpenAi)]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OpenAiCompletions, DialectFamily.OpenAi)]
    [InlineData(DialectName.OllamaChat, DialectName.OpenAiChat, DialectFamily.OpenAi)]
    [InlineData(DialectName.OpenAiChat, DialectName.OllamaChat, DialectFamily.Ollama)]
    [InlineData(DialectName.OpenAiChat, DialectName.OpenAiChat, DialectFamily.Ollama, DialectFamily.OpenAi)]
    [InlineData(DialectName.OllamaChat, DialectName.OllamaChat, DialectFamily.OpenAi, DialectFamily.Ollama)]
    [InlineData(DialectName.OllamaGenerate, DialectName.OllamaGenerate, DialectFamily.OpenAi, DialectFamily.Ollama)]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiChat, DialectFamily.OpenAi)]
    [InlineData(DialectName.OpenAiChat, null, DialectFamily.Tei)]
    [InlineData(DialectName.OpenAiChat, DialectName.OpenAiChat, DialectFamily.Tei, DialectFamily.OpenAi)]
    internal void Dialect_for_a_client_Is_its_own_where_the_host_speaks_it(DialectName client, DialectName? expected, params DialectFamily[] families)
    {
        using var house = new House(House.At("a") with { Dialects = families });

        Assert.Equal(expected, house["a"].DialectFor(client)?.Name);
    }

    [Theory]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, DialectFamily.Ollama)]
    [InlineData(DialectName.OpenAiCompletions, DialectName.OllamaGenerate, DialectFamily.Responses, DialectFamily.Ollama)]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, DialectFamily.OpenAi)]
    [InlineData(DialectName.OllamaGenerate, DialectName.OpenAiCompletions, DialectFamily.Responses, DialectFamily.OpenAi)]
    [InlineData(DialectName.OllamaGenerate, DialectName.OllamaGenerate, DialectFamily.OpenAi, DialectFamily.Ollama)]
    internal void Text_to_continue_Goes_where_prompts_are_taken(DialectName client, DialectName expected, params DialectFamily[] families)
    {
        using var house = new House(House.At("a") with { Dialects = families });

        Assert.Equal(expected, house["a"].DialectFor(client, continues: true)?.Name);
    }

    [Fact]
    public void Host_that_was_asked_speaks_Ollama_It_is_reached_by_that_alone()
    {
        using var house = new House(House.At("a") with { Dialects = null });
        Assert.Equal(DialectName.OpenAiChat, house["a"].DialectFor(DialectName.OllamaChat)?.Name); // the host has not been probed yet

        house["a"].State.Report = new([DialectFamily.Ollama, DialectFamily.OpenAi], [], null, "ollama");

        Assert.Equal(DialectName.OllamaChat, house["a"].DialectFor(DialectName.OpenAiChat)?.Name);
    }
}
