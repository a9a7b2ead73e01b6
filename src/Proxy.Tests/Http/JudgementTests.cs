using Microsoft.AspNetCore.Http;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Telemetry;

namespace Proxy.Tests.Http;

/// <summary>Which party the log and the metrics blame for a failed call.</summary>
public sealed class JudgementTests
{
    [Theory]
    [InlineData(ProxyErrorKind.InvalidRequest, 0, CallOutcome.Refused, Fault.Client, 400)]
    [InlineData(ProxyErrorKind.ContextLengthExceeded, 0, CallOutcome.Refused, Fault.Client, 400)]
    [InlineData(ProxyErrorKind.Unauthenticated, 0, CallOutcome.Refused, Fault.Client, 401)]
    [InlineData(ProxyErrorKind.Forbidden, 0, CallOutcome.Refused, Fault.Client, 403)]
    [InlineData(ProxyErrorKind.UnknownModel, 0, CallOutcome.Refused, Fault.Client, 404)]
    [InlineData(ProxyErrorKind.BodyTooLarge, 0, CallOutcome.Refused, Fault.Client, 413)]
    [InlineData(ProxyErrorKind.RateLimited, 0, CallOutcome.Refused, Fault.Client, 429)]
    [InlineData(ProxyErrorKind.NotImplemented, 0, CallOutcome.Refused, Fault.Proxy, 501)]
    [InlineData(ProxyErrorKind.QueueFull, 0, CallOutcome.Refused, Fault.Backend, 503)]
    [InlineData(ProxyErrorKind.NoBackend, 0, CallOutcome.BackendError, Fault.Backend, 503)]
    [InlineData(ProxyErrorKind.Draining, 0, CallOutcome.Refused, Fault.Proxy, 503)]
    [InlineData(ProxyErrorKind.HostRefused, 400, CallOutcome.Refused, Fault.Client, 400)]
    [InlineData(ProxyErrorKind.HostRefused, 422, CallOutcome.Refused, Fault.Client, 422)]
    [InlineData(ProxyErrorKind.HostRefused, 429, CallOutcome.Refused, Fault.Backend, 429)]
    [InlineData(ProxyErrorKind.HostRefused, 503, CallOutcome.Refused, Fault.Backend, 503)]
    [InlineData(ProxyErrorKind.HostUnauthorized, 0, CallOutcome.BackendError, Fault.Proxy, 502)]
    [InlineData(ProxyErrorKind.HostFailed, 0, CallOutcome.BackendError, Fault.Backend, 502)]
    [InlineData(ProxyErrorKind.HostTimedOut, 0, CallOutcome.Timeout, Fault.Backend, 504)]
    [InlineData(ProxyErrorKind.ProxyLoop, 0, CallOutcome.Refused, Fault.Proxy, 508)]
    [InlineData(ProxyErrorKind.HostRefused, 508, CallOutcome.Refused, Fault.Backend, 508)]
    [InlineData(ProxyErrorKind.Internal, 0, CallOutcome.ProxyError, Fault.Proxy, 500)]
    internal async Task Call_fails_The_record_says_how_and_whose_fault(ProxyErrorKind kind, int hostStatus, CallOutcome outcome, Fault fault, int status)
    {
        await using var edge = await Edge.StartAsync();
        using var scope = CallScope.Begin(new DefaultHttpContext(), "/x", new OpenAiChatClientDialect(), edge.Parts);

        scope.Judge(new ProxyError(kind, "why") { Status = hostStatus, Code = hostStatus == 422 ? "fine" : null, Backend = "gpu" });

        Assert.Equal((outcome, fault, status, "gpu"), (scope.Record.Outcome, scope.Record.Fault, scope.Record.Status, scope.Record.Backend));
        Assert.Equal(hostStatus == 422 ? "fine" : ProxyErrorTable.Of(kind).Code, scope.Record.Error);
    }

    [Fact]
    public async Task Client_is_gone_It_is_its_own_doing_whatever_failed_then()
    {
        await using var edge = await Edge.StartAsync();
        using var leaving = new CancellationTokenSource();
        var context = new DefaultHttpContext { RequestAborted = leaving.Token };
        using var scope = CallScope.Begin(context, "/x", new OpenAiChatClientDialect(), edge.Parts);
        await leaving.CancelAsync();

        await scope.RefuseAsync(new(ProxyErrorKind.HostFailed, "broken"));

        Assert.True(scope.Cancellation.IsCancellationRequested);
        Assert.Equal((CallOutcome.ClientLeft, Fault.Client, 499), (scope.Record.Outcome, scope.Record.Fault, scope.Record.Status));
    }

    [Fact]
    public async Task Drain_cuts_it_off_The_client_is_told_so()
    {
        await using var edge = await Edge.StartAsync();
        var context = new DefaultHttpContext();
        context.Response.Body = new MemoryStream();
        using var scope = CallScope.Begin(context, "/x", new OpenAiChatClientDialect(), edge.Parts);
        edge.Calls.InterruptAll();

        await scope.LeftAsync();

        Assert.Equal((CallOutcome.Drained, Fault.Proxy, 503, 503),
            (scope.Record.Outcome, scope.Record.Fault, scope.Record.Status, context.Response.StatusCode));
        Assert.True(context.Response.Body.Length > 0);
    }

    [Fact]
    public async Task Calls_end_The_drain_is_over_when_the_last_one_does()
    {
        await using var edge = await Edge.StartAsync();
        Assert.True(edge.Calls.WhenEmptyAsync().IsCompleted);
        var first = CallScope.Begin(new DefaultHttpContext(), "/x", new OpenAiChatClientDialect(), edge.Parts);
        var second = CallScope.Begin(new DefaultHttpContext(), "/x", new OpenAiChatClientDialect(), edge.Parts);
        var empty = edge.Calls.WhenEmptyAsync();

        first.Dispose();
        Assert.False(empty.IsCompleted);
        second.Dispose();

        await empty;
        Assert.Equal(0, edge.Metrics.InFlight);
    }
}
