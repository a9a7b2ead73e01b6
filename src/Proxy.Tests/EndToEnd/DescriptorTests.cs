using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// More clients than the process has descriptors: those that were accepted get answers from their hosts, the others wait, and no thread spins meanwhile.
/// </summary>
public sealed class DescriptorTests
{
    private const int Limit = 320;

    [Theory]
    [InlineData("epoll")]
    [InlineData("sockets")]
    public async Task Idle_clients_take_all_descriptors_that_are_theirs_Calls_still_reach_their_host(string transport)
    {
        await using var host = FakeBackend.Start();
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("served")));
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server("", transport) + $"""

            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["m"]
            """, descriptors: Limit);
        var idle = new List<RawClient>();
        try
        {
            await using var first = await RawClient.ConnectAsync(proxy.Address);
            await first.RequestAsync("GET", "/health");
            Assert.Equal(200, (await first.ReadReplyAsync()).Status);
            for (var i = 0; i < Limit + 40; i++) idle.Add(await RawClient.ConnectAsync(proxy.Address));
            await proxy.Log.EventAsync("accept_paused");

            // The proxy has no idle connection to the host, so each call needs one more descriptor.
            for (var i = 0; i < 3; i++)
            {
                await first.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m")));
                var reply = await first.ReadReplyAsync();
                Assert.True(reply.Status == 200, reply.Text);
            }

            // The CPU time of the process shows whether it spins.
            var (worked, until) = (proxy.Worked, TimeProvider.System.GetTimestamp());
            await Patience.Until(() => Task.FromResult(TimeProvider.System.GetElapsedTime(until) > TimeSpan.FromSeconds(1)), "a second is over");
            Assert.InRange((proxy.Worked - worked) / TimeProvider.System.GetElapsedTime(until), 0, 0.5);

            foreach (var client in idle) await client.DisposeAsync();
            await using var next = await RawClient.ConnectAsync(proxy.Address);
            await next.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m")));
            Assert.Equal(200, (await next.ReadReplyAsync()).Status);
            Assert.Single(proxy.Log.Lines, line => ProxyLog.Text(line, "event") is "accept_paused");
            Assert.DoesNotContain(proxy.Log.Lines, line => ProxyLog.Text(line, "event") is "accept_failed");
        }
        finally
        {
            foreach (var client in idle) await client.DisposeAsync();
        }
    }
}
