using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Handoffs under load: streams, calls, documents and a pipeline, with a store, or with a spool because its database is away. <c>PROXY_HANDOFF_MINUTES=5</c>
/// makes ten handoffs of it, one every 30 s, with 100 streams of 5 to 60 s and 200 other calls a second.
/// </summary>
public sealed class HandoffLoadTests
{
    [Theory]
    [InlineData("epoll", false)]
    [InlineData("sockets", true)]
    public async Task Handoffs_under_load_No_call_fails_no_stream_is_cut_and_no_slot_is_used_twice(string transport, bool spools)
    {
        var form = HandoffForm.Asked;
        var folder = Directory.CreateTempSubdirectory("proxy-handoff-");
        try
        {
            var program = Path.Combine(folder.FullName, "say");
            await File.WriteAllTextAsync(program, """
                #!/bin/sh
                cat >/dev/null
                printf '%s\n' '{"type":"token","text":"said"}' '{"type":"finished","reason":"stop"}'
                """, TestContext.Current.CancellationToken);
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
            await using var house = await HandoffHouse.StartAsync(slots: form.Slots, transport: transport, pace: form.Longest / 100, sections: $"""
                [[pipelines]]
                name = "say"
                launcher = "process"
                command = ["{program}"]
                [knowledge]
                embedder = "words"
                [store]
                {(spools ? "kind = \"postgres\"\nurl = \"postgres://nobody@127.0.0.1:1/none\"" : "kind = \"sqlite\"")}
                """);
            using var load = new HandoffLoad(house, form, ingests: !spools);
            await load.RunAsync();
            await Console.Out.WriteLineAsync($"{transport}, {(spools ? "spool" : "store")}: {load.Report()}");

            Assert.Empty(load.Failures);
            Assert.InRange(house.Most("few"), 1, form.Slots);
            Assert.True(load.Calls > form.Rate / 2 && load.Streams >= form.Streams, load.Report());
            Assert.DoesNotContain(house.Proxy.Log.Lines, static line => ProxyLog.Text(line, "event") is "store_failed" or "call_failed"
                || (ProxyLog.Text(line, "event") == "call" && ProxyLog.Text(line, "outcome") != "ok"));
            if (spools) Assert.NotEmpty(Directory.GetFiles(Path.GetDirectoryName(house.Proxy.StoreFile)!, "*.spool", SearchOption.AllDirectories));
            await Patience.Until(() => Task.FromResult(!ProxyProcess.IsAlive(house.Proxy.Id)), "the first process has ended");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
