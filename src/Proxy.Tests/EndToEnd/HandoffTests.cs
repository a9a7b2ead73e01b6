using System.Runtime.InteropServices;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A new process of the program takes over from the running one, which finishes its calls.</summary>
public sealed class HandoffTests
{
    [Fact]
    public async Task New_process_cannot_serve_The_old_one_serves_on()
    {
        await using var house = await HandoffHouse.StartAsync(slots: 1);
        var stream = await house.StreamAsync("few", "s");
        var folder = Path.GetDirectoryName(house.Proxy.ConfigFile)!;
        var hangs = await WriteAsync("hangs", "#!/bin/sh\nexec sleep 60\n");
        // It says that it is ready, waits until the old process has stepped back, and ends.
        var late = await WriteAsync("late", """
            #!/bin/bash
            talk=$(sed 's/.*"talk":\([0-9]*\).*/\1/' <<<"$PROXY_HANDOFF")
            echo '{"kind":"prepared","version":7,"news":[]}' >&$talk
            while read -r line <&$talk; do case $line in *'"go"'*) exit;; esac; done
            """);
        var good = await File.ReadAllTextAsync(house.Proxy.ConfigFile, TestContext.Current.CancellationToken);

        var gone = await house.Proxy.HandoffAsync("--binary", Path.Combine(folder, "missing"));
        var ended = await house.Proxy.HandoffAsync("--binary", "/bin/false");
        var hung = await house.Proxy.HandoffAsync("--binary", hangs, "--patience", "0.5");
        var gaveUp = await house.Proxy.HandoffAsync("--binary", late);
        await File.WriteAllTextAsync(house.Proxy.ConfigFile, good + "\nnonsense = 1\n", TestContext.Current.CancellationToken);
        var wrong = await house.Proxy.HandoffAsync();
        await File.WriteAllTextAsync(house.Proxy.ConfigFile, good, TestContext.Current.CancellationToken);

        Assert.Equal((1, true), (gone.ExitCode, gone.Output.Contains("No such file", StringComparison.Ordinal)));
        Assert.Equal((1, true), (ended.ExitCode, ended.Output.Contains("ended before it was ready", StringComparison.Ordinal)));
        Assert.Equal((1, true), (hung.ExitCode, hung.Output.Contains("not ready within 0.5 s", StringComparison.Ordinal)));
        Assert.Equal((1, true), (gaveUp.ExitCode, gaveUp.Output.Contains("ended before it was ready", StringComparison.Ordinal)));
        Assert.True(wrong.ExitCode == 1 && wrong.Output.Contains("nonsense", StringComparison.Ordinal), wrong.Output);
        var waits = house.PostAsync(HandoffHouse.Chat, OpenAi.Request("few"));
        house.End("s");
        HandoffHouse.AssertWhole("s", await stream.ReadRestAsync());
        Assert.Equal(200, (await Patience.For(waits, "the call after the failures")).Status);
        Assert.Equal(0, (await house.Proxy.CommandAsync("calls")).ExitCode);
        Assert.Equal(house.Proxy.Id, house.Proxy.Serving);
        Assert.Equal(1, house.Most("few"));

        async Task<string> WriteAsync(string name, string text)
        {
            var path = Path.Combine(folder, name);
            await File.WriteAllTextAsync(path, text, TestContext.Current.CancellationToken);
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
            return path;
        }
    }

    [Fact]
    public async Task Three_processes_still_stream_They_share_the_slots_and_a_fourth_handoff_is_refused()
    {
        await using var house = await HandoffHouse.StartAsync(slots: 3);
        var streams = new List<RawClient>();
        for (var n = 0; n < 3; n++)
        {
            streams.Add(await house.StreamAsync("few", $"s{n}"));
            await house.HandoffAsync();
        }

        var waits = house.PostAsync(HandoffHouse.Chat, OpenAi.Request("few"));
        var refused = await house.Proxy.HandoffAsync();
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains($"process {house.Proxy.Id} with 1 calls", refused.Output, StringComparison.Ordinal);
        Assert.False(waits.IsCompleted);
        house.End("s1"); // of the second process
        HandoffHouse.AssertWhole("s1", await streams[1].ReadRestAsync());
        var served = await Patience.For(waits, "the call that waited for a slot");

        Assert.Equal(200, served.Status);
        Assert.Equal(3, house.Most("few"));
        await streams[1].DisposeAsync();
        await Patience.Until(async () => (await house.GetAsync("/metrics")).Text.Contains("proxy_predecessors 2", StringComparison.Ordinal), "one has ended");
        Assert.Contains("proxy_handoffs_total 3", (await house.GetAsync("/metrics")).Text, StringComparison.Ordinal);
        await house.HandoffAsync();
        foreach (var n in (int[])[0, 2])
        {
            house.End($"s{n}");
            HandoffHouse.AssertWhole($"s{n}", await streams[n].ReadRestAsync());
        }

        Assert.Equal(200, (await house.PostAsync(HandoffHouse.Chat, OpenAi.Request("few"))).Status);
        Assert.Equal(3, house.Most("few"));
    }

    [Theory]
    [InlineData("epoll")]
    [InlineData("sockets")]
    public async Task Connection_is_used_across_a_handoff_Its_next_call_is_served_and_the_connection_closed(string transport)
    {
        await using var house = await HandoffHouse.StartAsync(slots: 1, transport: transport);
        await using var client = await RawClient.ConnectAsync(house.Address);
        var body = Encoding.UTF8.GetBytes(OpenAi.Request("few"));
        await client.RequestAsync("POST", HandoffHouse.Chat, body);
        Assert.Equal(200, (await client.ReadReplyAsync()).Status);
        var stream = await house.StreamAsync("many", "s"); // the old process lives
        await house.HandoffAsync();
        var holder = await house.StreamAsync("few", "holder"); // in the new process: the only slot

        await client.RequestAsync("POST", HandoffHouse.Chat, body); // the old process has to ask for a slot
        var pending = client.ReadReplyAsync();
        await Patience.Until(async () => (await house.GetAsync("/metrics")).Text.Contains("proxy_predecessor_calls 2", StringComparison.Ordinal), "both run");
        await Patience.Until(async () => (await house.GetAsync("/metrics")).Text.Contains("proxy_queue_waiting 1", StringComparison.Ordinal), "it waits");
        house.End("holder");
        HandoffHouse.AssertWhole("holder", await holder.ReadRestAsync());
        var reply = await Patience.For(pending, "the call that asked for a slot");

        Assert.Equal((200, "close"), (reply.Status, reply.Header("connection")));
        Assert.Equal("", await client.ReadToEndAsync());
        Assert.Equal(1, house.Most("few"));
        Assert.Equal(200, (await house.PostAsync(HandoffHouse.Chat, OpenAi.Request("few"))).Status); // the slot has come back
        house.End("s");
        HandoffHouse.AssertWhole("s", await stream.ReadRestAsync());
    }

    [Fact]
    public async Task Service_stops_during_a_drain_Streams_of_the_old_process_end_with_an_error()
    {
        await using var house = await HandoffHouse.StartAsync("drain = \"200ms\"");
        var stream = await house.StreamAsync("few", "s");
        await house.HandoffAsync();

        house.Proxy.SignalAll(PosixSignal.SIGTERM);
        var reply = await Patience.For(stream.ReadRestAsync(), "the stream's end");

        Assert.Contains("shutting down", OpenAi.ReadError(reply).GetProperty("message").GetString()!, StringComparison.Ordinal);
        Assert.Equal(0, await house.Proxy.ExitAsync());
        await Patience.Until(() => Task.FromResult(!ProxyProcess.IsAlive(house.Proxy.Serving)), "the new process has ended too");
        Assert.Empty(Directory.GetFiles(Path.GetDirectoryName(house.Proxy.AdminSocket)!, "*.sock"));
    }

    [Fact]
    public async Task Stream_has_ended_in_the_old_process_It_can_be_read_again_when_that_is_gone()
    {
        await using var house = await HandoffHouse.StartAsync();
        var resumable = await house.StreamAsync("many", "r", "x-resume: 1");
        var keyed = await house.StreamAsync("many", "k", "Idempotency-Key: k1");
        await house.HandoffAsync();
        house.End("r");
        house.End("k");
        var (first, second) = (await resumable.ReadRestAsync(), await keyed.ReadRestAsync());
        await resumable.DisposeAsync();
        await keyed.DisposeAsync();
        await Patience.Until(() => Task.FromResult(!ProxyProcess.IsAlive(house.Proxy.Id)), "the old process has ended");
        var calls = house.Host.Calls.Count;

        var read = await house.GetAsync($"/v1/streams/{first.TraceId}");
        var again = await house.PostAsync(HandoffHouse.Chat, OpenAi.Request("many", stream: true, text: "slow k"), "Idempotency-Key: k1");

        Assert.Equal(first.Text, read.Text);
        Assert.Equal((second.Text, "true"), (again.Text, again.Header("idempotent-replayed")));
        Assert.Equal(calls, house.Host.Calls.Count);
    }

    [Fact]
    public async Task Drain_of_a_handoff_has_a_clock_of_its_own()
    {
        await using var house = await HandoffHouse.StartAsync("handoff_drain = \"300ms\"");
        var stream = await house.StreamAsync("few", "s");
        await house.HandoffAsync();

        var reply = await Patience.For(stream.ReadRestAsync(), "the stream's end");

        Assert.Contains("shutting down", OpenAi.ReadError(reply).GetProperty("message").GetString()!, StringComparison.Ordinal);
        await Patience.Until(() => Task.FromResult(!ProxyProcess.IsAlive(house.Proxy.Id)), "the old process has ended");
        Assert.Equal(200, (await house.PostAsync(HandoffHouse.Chat, OpenAi.Request("few"))).Status);
    }
}
