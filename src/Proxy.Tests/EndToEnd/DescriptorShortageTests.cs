using System.Runtime.InteropServices;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A process without free file descriptors: no host is marked as failing for it.</summary>
public sealed partial class DescriptorShortageTests(DescriptorShortageTests.Door door) : IClassFixture<DescriptorShortageTests.Door>
{
    private const int OpenFiles = 7; // RLIMIT_NOFILE

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 1;
    }

    [Fact]
    public async Task No_descriptor_is_left_for_a_host_Client_gets_503_of_ours_and_the_host_stays_up()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("fine")));
        await using var client = await RawClient.ConnectAsync(door.Address);
        // Loads everything that a refusal needs, so that the process opens no file for it later.
        lane.B.Refuse();
        Assert.Equal(200, (await CallAsync(lane.Pair)).Status);
        Assert.Equal(404, (await CallAsync("unheard-of")).Status);
        var usual = Limit(door.Proxy.Id, null);

        var before = 0;
        try
        {
            var refused = 0;
            for (var tries = 0; refused < 4;) // more than the breaker tolerates
            {
                if (refused == 0)
                {
                    Assert.True(++tries <= 20, "the proxy finds a descriptor each time");
                    lane.A.DropConnections();
                    await Patience.Until(() => Task.FromResult(lane.A.OpenConnections == 0), "the host's connections are closed");
                    before = lane.A.Calls.Count;
                    // A dead connection in the proxy's pool may hold a descriptor until the next call, so each try leaves one less.
                    Limit(door.Proxy.Id, FirstFree(door.Proxy.Id) - (ulong)(tries - 1));
                }

                var reply = await CallAsync(lane.Solo);
                if (reply.Status == 200)
                {
                    refused = 0; // a probe or the dropped connection returned its descriptor
                    continue;
                }

                refused++;
                Assert.True(reply.Status == 503, $"{reply.Status} {reply.Text}");
                Assert.Equal("proxy_error out_of_descriptors", $"{reply.ErrorType} {reply.ErrorCode}");
                Assert.Equal("1", reply.Header("retry-after"));
            }
        }
        finally
        {
            Limit(door.Proxy.Id, usual);
        }

        Assert.Equal(before, lane.A.Calls.Count);
        var line = await door.Proxy.Log.LineAsync(line => ProxyLog.Text(line, "error") == "out_of_descriptors", "the call");
        Assert.Equal("proxy_error proxy 503", new CallLine(line).Verdict);
        Assert.Equal(200, (await CallAsync(lane.Solo)).Status);
        Assert.DoesNotContain(door.Proxy.Log.Lines,
            line => ProxyLog.Text(line, "event") == "backend_down" && line.GetRawText().Contains($"\"{lane.NameA}\"", StringComparison.Ordinal));

        async Task<RawReply> CallAsync(string model)
        {
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(model, stream: false)));
            return await client.ReadReplyAsync("POST");
        }
    }

    /// <summary>The lowest free descriptor number.</summary>
    private static ulong FirstFree(int process)
    {
        var open = Directory.EnumerateFileSystemEntries($"/proc/{process}/fd")
            .Select(static entry => ulong.Parse(Path.GetFileName(entry), System.Globalization.CultureInfo.InvariantCulture)).ToHashSet();
        var free = 0UL;
        while (open.Contains(free)) free++;
        return free;
    }

    /// <summary>Sets the soft limit of another process, if one is given; returns the old one.</summary>
    private static ulong Limit(int process, ulong? soft)
    {
        var now = new ulong[2];
        Assert.Equal(0, Limits(process, OpenFiles, null, now));
        if (soft is { } wanted) Assert.Equal(0, Limits(process, OpenFiles, [wanted, now[1]], null));
        return now[0];
    }

    [LibraryImport("libc", EntryPoint = "prlimit")]
    private static partial int Limits(int process, int resource, ulong[]? wanted, ulong[]? before);
}
