using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Transport;

namespace Proxy.Tests.Backends;

/// <summary>The dispatcher notes when each stage of a call began.</summary>
public sealed class CallTimesTests : IDisposable
{
    private const string Hello = """data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}""" + "\n\n";

    private readonly House house = new(House.At("a", "m") with { Slots = 1 }, House.At("b", "n") with { Slots = 1 }, House.At("c", "n") with { Slots = 1 });

    public void Dispose() => house.Dispose();

    [Fact]
    public async Task Call_waits_for_a_slot_The_wait_is_counted_and_then_the_attempt_begins()
    {
        house.Plays("a", Script.Stream(Hello, Step.End));
        var held = (await house.Slots.TakeAsync("m", [house["a"]], 8, TimeSpan.FromMinutes(1), CancellationToken.None)).Lease!;
        var call = new Call();
        var times = call.Info.Times;
        var asked = house.Time.GetTimestamp();
        var pending = SendAsync(call, "m");
        Assert.Equal((asked, asked, 0L, 0), (times.Asked, times.WaitsSince, times.Granted, times.Attempt));

        house.Time.Advance(TimeSpan.FromSeconds(3));
        held.Dispose();
        using var reply = Assert.IsType<DispatchResult.Answered>(await pending).Reply;

        var now = house.Time.GetTimestamp();
        Assert.Equal((0L, TimeSpan.FromSeconds(3)), (times.WaitsSince, house.Time.GetElapsedTime(0, times.Waited)));
        Assert.Equal((asked, now, now, now, now, 1), (times.Asked, times.Granted, times.Sent, times.Head, times.Content, times.Attempt));
        Assert.Null(times.Failed);
    }

    [Fact]
    public async Task First_host_fails_The_attempt_is_remembered_and_the_times_are_those_of_the_second()
    {
        house.Plays("b", Script.None(UpstreamOutcome.Broken)).Plays("c", Script.Stream(Hello, Step.End));
        var call = new Call { OnPrepare = () => house.Time.Advance(TimeSpan.FromSeconds(1)) };
        var asked = house.Time.GetTimestamp();

        using var reply = Assert.IsType<DispatchResult.Answered>(await SendAsync(call, "n")).Reply;

        var times = call.Info.Times;
        Assert.Equal((2, asked, TimeSpan.FromSeconds(2)), (times.Attempt, times.Asked, house.Time.GetElapsedTime(asked, times.Sent)));
        Assert.Equal(("b", ProxyErrorKind.HostFailed, 1), (times.Failed!.Backend, times.Failed.Why, times.Failed.Number));
        Assert.Equal(TimeSpan.FromSeconds(1), house.Time.GetElapsedTime(asked, times.Failed.Ended));
    }

    [Fact]
    public void Object_is_shared_by_many_calls_It_remembers_a_bounded_number_of_failures()
    {
        var times = new CallTimes();
        for (var i = 0; i < 100; i++) times.Fail("a", ProxyErrorKind.HostFailed, i);

        Assert.Equal(16, times.Failed!.Number);
    }

    private Task<DispatchResult> SendAsync(Call call, string model) =>
        house.Dispatcher.SendAsync(call, model, house.Directory.Table.Resolve(model)!, CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(30));

    private sealed class Call : IDispatchable
    {
        public CallInfo Info { get; } = new("TRACE", "CORR", "anonymous");
        public IReadOnlyList<KeyValuePair<string, string>> Headers => [];
        public Action OnPrepare { get; init; } = static () => { };

        public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
        {
            OnPrepare();
            outgoing = new("POST", "/v1/chat/completions", new(new byte[1]), "application/json", new OpenAiChatBackendDialect(), new OpenAiChatBackendDialect(),
                Streams: true);
            return null;
        }
    }
}
