using System.Text;
using Proxy.Chat;
using Proxy.Composition;
using Proxy.Streams;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>The end of a call is published after every gate, whatever order the gates stand in.</summary>
public sealed class PublishingOrderTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Gate_is_closed_Its_tokens_are_published_and_its_end_only_when_it_opens(bool opens)
    {
        using var stop = new CancellationTokenSource();
        await using var server = await NatsServer.StartAsync(jetStream: false);
        await using var ear = await NatsEar.StartAsync(server);
        await using var host = FakeBackend.Start();
        host.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("one ", "two")));
        var gate = new Gate();
        PartsBuilder? parts = null;
        await using var proxy = await RoutedProxy.StartAsync(
            NatsOutageTests.Config(server, batch: "0s", host: host), static _ => [], (_, _, gates) => gates.Add(gate), builder => parts = builder);
        foreach (var run in parts!.Background) _ = run(stop.Token);
        await proxy.Log.EventAsync("nats_up");

        var calling = RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request("m", stream: true)));
        await Patience.For(gate.Asked.Task, "the gate is asked");
        await Patience.Until(() => Task.FromResult(ear.Heard.Any(static message => message.Text.Contains("two", StringComparison.Ordinal))), "the tokens come");
        await ear.Connection.PingAsync(TestContext.Current.CancellationToken);
        Assert.DoesNotContain(ear.Heard, static message => message.Text.Contains("finished", StringComparison.Ordinal)
            || message.Subject.StartsWith("done.", StringComparison.Ordinal));
        gate.Open.SetResult(opens ? null : new ProxyError(ProxyErrorKind.NoBackend, "no record"));
        var reply = await calling;

        var events = await ear.EventsAsync(reply.TraceId);
        var last = events.Where(static one => one.GetProperty("type").GetString() == "finished").ToList();
        Assert.Equal(opens ? "stop" : "error", Assert.Single(last).GetProperty("reason").GetString());
        Assert.Equal(opens ? "ok" : "backend_error", (await ear.DoneAsync(reply.TraceId)).Json.GetProperty("outcome").GetString());
        await stop.CancelAsync();
    }

    private sealed class Gate : IEndGate
    {
        public TaskCompletionSource Asked { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource<ProxyError?> Open { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
        {
            Asked.SetResult();
            return await Open.Task.WaitAsync(cancellation);
        }

        public void Ended(GenerationEnd end) { }
    }
}
