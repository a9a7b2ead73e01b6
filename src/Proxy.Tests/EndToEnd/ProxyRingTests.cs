using System.Text.Json;
using Proxy.Backends;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Proxies that are each other's backends: each learns every model of the others, none learns its own models back, and a model that disappears at one
/// disappears
/// at all.
/// </summary>
public sealed class ProxyRingTests
{
    private static readonly string[] Models = ["m0", "m1", "m2"];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Three_proxies_in_a_ring_Every_model_is_served_everywhere(bool meshed)
    {
        await using var ring = await Ring.StartAsync(3, meshed);
        await ring.ProbeAsync(3);

        foreach (var peer in ring.Peers)
        {
            Assert.Equal(Models, (await peer.ModelsAsync()).Order());
            foreach (var model in Models)
            {
                var reply = await peer.PostAsync("/v1/chat/completions", OpenAi.Request(model));
                Assert.True(reply.Status == 200, reply.Text);
                Assert.Equal(model, reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Host_behind_a_ring_is_killed_Its_model_is_gone_everywhere_within_two_probes_and_the_others_stay(bool meshed)
    {
        await using var ring = await Ring.StartAsync(3, meshed);
        await ring.ProbeAsync(3);
        ring.Hosts[2].Refuse();
        await ring.Peers[2].ProbeAsync(); // the proxy that has the host has noticed

        for (var probe = 0; probe < 2; probe++)
        {
            await ring.ProbeAsync(1);
            await HealthyAsync(ring);
        }

        foreach (var peer in ring.Peers)
        {
            Assert.Equal(["m0", "m1"], (await peer.ModelsAsync()).Order());
            Assert.Equal(peer == ring.Peers[2] ? 502 : 404, (await peer.PostAsync("/v1/chat/completions", OpenAi.Request("m2"))).Status);
        }

        ring.Hosts[2].Listen();
        await ring.ProbeAsync(3);
        foreach (var peer in ring.Peers) Assert.Equal(Models, (await peer.ModelsAsync()).Order());

        async Task HealthyAsync(Ring among)
        {
            foreach (var peer in among.Peers)
            {
                foreach (var model in (string[])["m0", "m1"])
                {
                    var reply = await peer.PostAsync("/v1/chat/completions", OpenAi.Request(model));
                    Assert.True(reply.Status == 200, reply.Text);
                }

                Assert.NotEqual(508, (await peer.PostAsync("/v1/chat/completions", OpenAi.Request("m2"))).Status);
            }
        }
    }

    [Fact]
    public async Task Same_model_at_every_host_of_a_ring_A_call_never_comes_back()
    {
        await using var ring = await Ring.StartAsync(3, meshed: true, static _ => "same");
        await ring.ProbeAsync(3);

        for (var i = 0; i < 30; i++)
        {
            var reply = await ring.Peers[i % 3].PostAsync("/v1/chat/completions", OpenAi.Request("same"));
            Assert.True(reply.Status == 200, reply.Text);
        }

        foreach (var host in ring.Hosts)
        {
            foreach (var call in host.Calls)
            {
                var names = call.Header("via")!.Split(", ");
                Assert.Equal(names.Distinct(), names);
            }
        }
    }

    [Fact]
    public async Task Host_of_two_proxies_is_killed_Neither_teaches_the_other_its_models_and_neither_is_ready()
    {
        await using var ring = await Ring.StartAsync(2, meshed: true);
        await ring.ProbeAsync(2);
        Assert.Equal(["m0", "m1"], (await ring.Peers[0].ModelsAsync()).Order());
        Assert.Equal(200, (await ring.Peers[0].GetAsync("/ready")).Status);

        foreach (var host in ring.Hosts) host.Refuse();
        await ring.ProbeAsync(2);

        foreach (var peer in ring.Peers)
        {
            Assert.Empty(await peer.ModelsAsync());
            Assert.Equal(503, (await peer.GetAsync("/ready")).Status);
        }
    }

    [Fact]
    public async Task Other_proxy_is_reached_by_one_dialect_alone_It_is_known_as_a_proxy_all_the_same()
    {
        var peers = await PeerProxy.StartAsync(2);
        await using var host = Ring.HostOf("m");
        await using var front = peers[0]
            .Configure("default_backend = \"other\"\n" + PeerProxy.NoModels + PeerProxy.Backend("other", peers[1].Url, "dialects = [\"openai\"]"));
        await using var behind = peers[1].Configure(PeerProxy.NoModels
            + PeerProxy.Backend("other", peers[0].Url, "dialects = [\"ollama\"]\nmodels = [\"unknown\"]")
            + PeerProxy.Backend("host", host.Url, "dialects = [\"openai\"]"));
        for (var i = 0; i < 2; i++)
        {
            await front.ProbeAsync();
            await behind.ProbeAsync();
        }

        Assert.Equal((behind.Id, front.Id), (front.Parts.Directory.Table.All[0].ProxyId, behind.Parts.Directory.Table.All[0].ProxyId));
        Assert.Equal(["m"], await front.ModelsAsync());
        Assert.Equal(["unknown", "m"], await behind.ModelsAsync());
        Assert.Equal(200, (await front.PostAsync("/v1/messages", Anthropic.Request("m"))).Status);
        Assert.Equal(508, (await front.PostAsync("/v1/messages", Anthropic.Request("unknown"))).Status);
    }

    [Fact]
    public async Task Other_proxy_has_a_model_The_one_without_a_host_is_ready_too()
    {
        await using var ring = await Ring.StartAsync(2, meshed: true);
        await ring.ProbeAsync(2);
        ring.Hosts[0].Refuse();
        await ring.ProbeAsync(2);

        Assert.Equal(["m1"], await ring.Peers[0].ModelsAsync());
        Assert.Equal(200, (await ring.Peers[0].GetAsync("/ready")).Status);
    }

    [Theory]
    [InlineData("/v1/models")]
    [InlineData("/api/tags")]
    [InlineData("/api/ps")]
    public async Task Proxy_asks_It_is_not_told_what_it_told_us(string path)
    {
        await using var ring = await Ring.StartAsync(2, meshed: true);
        await ring.ProbeAsync(2);

        var toOther = (await ring.Peers[0].GetAsync(path, $"via: 1.1 {ring.Peers[1].Id}, 1.1 Caddy")).Text;
        var toClient = (await ring.Peers[0].GetAsync(path)).Text;

        Assert.DoesNotContain("\"m1\"", toOther);
        if (path != "/api/ps") Assert.Contains("\"m1\"", toClient);
        if (path != "/api/ps") Assert.Contains("\"m0\"", toOther);
        Assert.DoesNotContain("\"ways\"", toClient);
    }

    [Fact]
    public async Task Chain_of_proxies_The_last_of_eight_is_reached_and_a_ninth_is_not_offered()
    {
        var peers = await PeerProxy.StartAsync(9);
        await using var host = Ring.HostOf("far");
        try
        {
            for (var i = 0; i < peers.Length; i++)
            {
                peers[i]
                    .Configure(PeerProxy.NoModels + PeerProxy.Backend("next", i == 8 ? host.Url : peers[i + 1].Url, i == 8 ? "dialects = [\"openai\"]" : ""));
            }

            for (var i = peers.Length - 1; i >= 0; i--) await peers[i].ProbeAsync();

            Assert.Equal(["far"], await peers[1].ModelsAsync());
            var reply = await peers[1].PostAsync("/v1/chat/completions", OpenAi.Request("far"));
            Assert.True(reply.Status == 200, reply.Text);
            Assert.Equal(8, host.Calls[^1].Header("via")!.Split(", ").Length);
            Assert.Empty(await peers[0].ModelsAsync());
        }
        finally
        {
            foreach (var peer in peers) await peer.DisposeAsync();
        }
    }

    [Fact]
    public async Task Model_of_this_process_Another_proxy_has_its_own_copy_The_nearer_one_answers()
    {
        var peers = await PeerProxy.StartAsync(2);
        await using var first = peers[0].Configure(PeerProxy.Backend("other", peers[1].Url));
        await using var second = peers[1].Configure(PeerProxy.Backend("other", peers[0].Url));
        for (var i = 0; i < 2; i++)
        {
            await first.ProbeAsync();
            await second.ProbeAsync();
        }

        foreach (var peer in peers)
        {
            Assert.Contains("all-minilm-q4", await peer.ModelsAsync());
            Assert.NotNull(peer.Parts.Directory.Table.Resolve("all-minilm-q4")!.InProcess);
            Assert.NotNull(peer.Parts.Directory.Table.Resolve("all-minilm")!.InProcess);
            Assert.Equal(503, (await peer.GetAsync("/ready")).Status);
        }
    }

    [Fact]
    public async Task Proxy_is_its_own_backend_It_is_down_says_so_and_its_models_are_not_listed()
    {
        var peers = await PeerProxy.StartAsync(1);
        await using var peer = peers[0]
            .Configure("default_backend = \"mirror\"\n" + PeerProxy.NoModels + PeerProxy.Backend("mirror", peers[0].Url, "models = [\"mine\"]"));
        await peer.ProbeAsync();
        await peer.ProbeAsync();

        var backend = peer.Parts.Directory.Table.All.Single();
        Assert.Equal(BackendHealth.Down, backend.State.Health);
        Assert.StartsWith("is this proxy itself", backend.State.Reason);
        Assert.Equal(503, (await peer.GetAsync("/ready")).Status);
        foreach (var (path, body) in ((string, string)[])[("/v1/chat/completions", OpenAi.Request("mine")), ("/v1/embeddings",
            """{"model":"mine","input":"x"}"""), ("/v1/audio/speech", """{"model":"any","input":"x"}"""), ("/api/pull", """{"model":"mine"}""")])
        {
            var reply = await peer.PostAsync(path, body);
            Assert.True(reply.Status == 508, $"{path}: {reply.Status} {reply.Text}");
            Assert.Equal("false", reply.Header("x-should-retry"));
        }

        var counted = await peer.PostAsync("/v1/messages/count_tokens", Anthropic.Request("any"));
        Assert.Equal((200, "estimate"), (counted.Status, counted.Header("x-token-count")));
    }

    /// <summary>Proxies in a ring, each with a host of its own and the next proxy, or all others, as backends.</summary>
    private sealed class Ring(PeerProxy[] peers, FakeBackend[] hosts) : IAsyncDisposable
    {
        public PeerProxy[] Peers => peers;

        public FakeBackend[] Hosts => hosts;

        public static async Task<Ring> StartAsync(int count, bool meshed, Func<int, string>? model = null)
        {
            var peers = await PeerProxy.StartAsync(count);
            var hosts = Enumerable.Range(0, count).Select(i => HostOf(model?.Invoke(i) ?? $"m{i}")).ToArray();
            for (var i = 0; i < count; i++)
            {
                var others = meshed ? Enumerable.Range(1, count - 1) : [1];
                peers[i].Configure(PeerProxy.NoModels + PeerProxy.Backend("host", hosts[i].Url, "dialects = [\"openai\"]")
                    + string.Concat(others.Select(step => PeerProxy.Backend($"next{step}", peers[(i + step) % count].Url))));
            }

            return new(peers, hosts);
        }

        public static FakeBackend HostOf(string model)
        {
            var host = FakeBackend.Start();
            host.Pages["/v1/models"] = JsonSerializer.Serialize(new { @object = "list", data = (object[])[new { id = model, @object = "model" }] });
            host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(model)));
            return host;
        }

        /// <summary>Every proxy probes all its hosts, in the order in which news travels slowest.</summary>
        public async Task ProbeAsync(int times)
        {
            for (var i = 0; i < times; i++)
            {
                foreach (var peer in peers) await peer.ProbeAsync();
            }
        }

        public async ValueTask DisposeAsync()
        {
            foreach (var peer in peers) await peer.DisposeAsync();
            foreach (var host in hosts) await host.DisposeAsync();
        }
    }
}
