using System.Text;
using Proxy.Chat;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A bug is logged also if the client of its call has left; a cancelled wait, which the leaving itself causes, is not a bug.</summary>
public sealed class BugAfterLeavingTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Client_left_The_log_has_the_bug_and_only_the_bug(bool isBug)
    {
        var called = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var proxy = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            """, _ => [new Waiting(called, isBug)]);
        var correlation = FrontDoor.Correlation();
        await using (var client = await RawClient.ConnectAsync(proxy.Address))
        {
            var body = """{"model":"pipeline/x","messages":[{"role":"user","content":"x"}],"stream":false}"""u8.ToArray();
            await client.RequestAsync("POST", "/v1/chat/completions", body, $"x-correlation-id: {correlation}");
            await Patience.For(called.Task, "the route is called");
        }

        var line = await proxy.Log.CallAsync(correlation);
        Assert.Equal(isBug ? "proxy_error proxy 499" : "client_left client 499", line.Verdict);
        Assert.Equal(isBug, proxy.Log.Lines.Any(one => ProxyLog.Text(one, "event") == "call_failed"));
    }

    private sealed class Waiting(TaskCompletionSource called, bool isBug) : IChatRoute
    {
        public string Name => "workflow";

        public bool Takes(in RoutedCall call) => call.Pipeline is not null;

        public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation)
        {
            called.SetResult();
            try
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellation);
            }
            catch (OperationCanceledException) when (isBug)
            {
                throw new InvalidOperationException("a bug");
            }

            throw new System.Diagnostics.UnreachableException();
        }
    }
}
