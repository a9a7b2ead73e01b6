using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Traces;

namespace Proxy.Tests.Traces;

/// <summary>Which calls are traced, and what their spans hold.</summary>
public sealed class TracerTests
{
    private const string Trace = "4bf92f3577b34da6a3ce929d0e0e4736";

    private readonly FakeTimeProvider time = new(new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero));
    private readonly SpanQueue queue;

    public TracerTests() => queue = new(NullLogger.Instance, time);

    [Theory]
    [InlineData(0.0, 0, 0)]
    [InlineData(0.01, 50, 150)]
    [InlineData(0.5, 4500, 5500)]
    [InlineData(1.0, 10_000, 10_000)]
    public void Share_of_the_calls_without_a_context_Is_traced_by_their_trace_id(double share, int least, int most)
    {
        var tracer = new Tracer(() => share, queue, time);

        var contexts = Enumerable.Range(0, 10_000).Select(_ => (IsOn: tracer.Begin(null, "POST", "/s", out var context).IsOn, context)).ToList();

        Assert.InRange(contexts.Count(static one => one.IsOn), least, most);
        Assert.All(contexts, one =>
        {
            Assert.True(TraceParents.IsValid(one.context));
            var (trace, _, isSampled) = TraceParents.Read(one.context);
            Assert.Equal((one.IsOn, one.IsOn), (isSampled, Tracer.IsSampled(trace, share)));
        });
    }

    [Theory]
    [InlineData("01", true)]
    [InlineData("03", true)]
    [InlineData("00", false)]
    [InlineData("02", false)]
    public void Client_sends_a_context_Its_flag_decides_whatever_the_share(string flags, bool isTraced)
    {
        var given = $"00-{Trace}-00f067aa0ba902b7-{flags}";

        using var span = new Tracer(() => isTraced ? 0 : 1, queue, time).Begin(given, "POST", "/s", out var context);

        Assert.Equal(isTraced, span.IsOn);
        Assert.Equal(isTraced ? $"00-{Trace}-{((TracedSpan)span).Id:x16}-01" : given, context);
        if (isTraced) Assert.Equal(0x00f067aa0ba902b7UL, ((TracedSpan)span).Parent);
    }

    [Fact]
    public void Spans_Have_their_times_and_values_and_are_handed_over_once()
    {
        var call = (TracedSpan)new Tracer(static () => 1, queue, time).Begin(null, "POST", "/s", out _);
        var began = time.GetTimestamp();
        time.Advance(TimeSpan.FromMilliseconds(5));
        var work = (TracedSpan)call.Begin("work", SpanKind.Internal);
        time.Advance(TimeSpan.FromMilliseconds(7));
        work.Fail("broken");
        work.Dispose();
        work.Dispose();
        var over = (TracedSpan)call.Add("over", began, began + (time.TimestampFrequency / 1000), SpanKind.Internal);
        over.Dispose();
        time.SetUtcNow(time.GetUtcNow().AddHours(1));

        Assert.Equal(2, queue.Waiting);
        Assert.Equal((5_000_000, 12_000_000, true, call.Id), (work.From - call.From, work.To - call.From, work.HasFailed, work.Parent));
        Assert.Equal((0, 1_000_000, false), (over.From - call.From, over.To - call.From, over.HasFailed));
        Assert.Equal(new SpanValue("error.type", "broken", 0), Assert.Single(work.Values));
        Assert.Equal(1772625600_000_000_000, call.From);
    }

    [Fact]
    public void No_tracing_Costs_no_object()
    {
        CallSpan span = CallSpan.None;
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            using var stage = span.Begin("stage");
            stage.Set("key", "value");
            stage.Set("key", 1);
            stage.Fail("type");
            span.Add("stage", 0, 1).Dispose();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Null(span.TraceParent);
    }
}
