using System.Collections.Concurrent;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Traces;

namespace Proxy.Tests.Traces;

/// <summary>What becomes of spans when their receiver is well, slow, strange or away.</summary>
public sealed class SpanExporterTests : IAsyncDisposable
{
    private readonly OtlpEar ear = new();
    private readonly SpanQueue queue = new(NullLogger.Instance, TimeProvider.System);

    public ValueTask DisposeAsync() => ear.DisposeAsync();

    [Fact]
    public void Proxy_stops_What_waits_is_sent_first()
    {
        var exporter = Exporter();
        for (var i = 0; i < 3 * SpanQueue.MostTogether; i++) Span($"s{i}").Dispose();

        exporter.Dispose();

        Assert.Equal(3 * SpanQueue.MostTogether, ear.Spans.Select(static span => span.Name).Distinct().Count());
        Assert.Equal((3L * SpanQueue.MostTogether, 0L, 3), (exporter.Sent, queue.Dropped, ear.Host.Calls.Count));
    }

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Receiver_is_busy_The_batch_is_sent_again(int status)
    {
        ear.Host.Once(exchange => exchange.WholeAsync(status, "text/plain", "busy", "Retry-After: 0"));
        using var exporter = Exporter();
        Span("late").Dispose();

        await Patience.Until(() => Task.FromResult(exporter.Sent == 1), "the span is sent");

        Assert.Equal((2, 0L), (ear.Host.Calls.Count, queue.Dropped));
        Assert.Equal(ear.Host.Calls[0].Body, ear.Host.Calls[1].Body);
    }

    [Theory]
    [InlineData(400)]
    [InlineData(404)]
    [InlineData(307)]
    public void Receiver_refuses_The_batch_is_dropped_at_once(int status)
    {
        ear.Host.Answer(exchange => exchange.WholeAsync(status, "text/plain", "no"));
        var exporter = Exporter();
        Span("unwanted").Dispose();

        exporter.Dispose();

        Assert.Equal((0L, 1L, 1), (exporter.Sent, queue.Dropped, ear.Host.Calls.Count));
    }

    [Fact]
    public void Receiver_takes_a_part_The_rest_counts_as_dropped()
    {
        // partial_success { rejected_spans: 200, error_message: "no" }
        ear.Host.Answer(static exchange => exchange.WholeAsync(200, "application/x-protobuf", new byte[] { 0x0a, 7, 0x08, 0xc8, 1, 0x12, 2, 0x6e, 0x6f }));
        var exporter = Exporter();
        for (var i = 0; i < 300; i++) Span("s").Dispose();

        exporter.Dispose();

        Assert.Equal((100L, 200L), (exporter.Sent, queue.Dropped));
    }

    [Fact]
    public void Receiver_is_away_Adding_does_not_wait_and_what_is_too_much_is_dropped_and_counted()
    {
        ear.Host.Refuse();
        var exporter = Exporter();
        for (var i = 0; i < SpanQueue.Most + 2000; i++) Span("s").Dispose();
        Assert.InRange(queue.Dropped, 2000 - (2 * SpanQueue.MostTogether), 2000);

        exporter.Dispose();

        Assert.Equal((0L, SpanQueue.Most + 2000L), (exporter.Sent, queue.Dropped));
    }

    [Fact]
    public void Receiver_speaks_an_old_http_No_batch_is_lost()
    {
        ear.Host.Answer(static async exchange =>
        {
            await exchange.SendAsync("HTTP/1.0 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n");
            await exchange.EndConnectionAsync();
        });
        var exporter = Exporter();
        for (var i = 0; i < 4 * SpanQueue.MostTogether; i++) Span($"s{i}").Dispose();

        exporter.Dispose();

        Assert.Equal((4L * SpanQueue.MostTogether, 0L), (exporter.Sent, queue.Dropped));
        Assert.Equal(4 * SpanQueue.MostTogether, ear.Spans.Select(static span => span.Name).Distinct().Count());
    }

    [Fact]
    public async Task Receiver_is_silent_The_stop_does_not_wait_for_it_long()
    {
        ear.Host.Answer(static exchange => exchange.StallAsync());
        var exporter = Exporter();
        Span("s").Dispose();

        await Patience.For(Task.Run(exporter.Dispose, TestContext.Current.CancellationToken), "the end of the exporter");

        Assert.Equal((0L, 1L), (exporter.Sent, queue.Dropped));
    }

    [Fact]
    public async Task Receiver_has_tls_Its_certificate_is_checked()
    {
        using var authority = new TestAuthority();
        using var certificate = authority.Issue();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var url = $"https://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}";

        var trusting = Exporter(new() { Otlp = url, Ca = new("ca.pem", authority.Pem) });
        Span("trusted").Dispose();
        var stop = Task.Run(trusting.Dispose, TestContext.Current.CancellationToken);
        await ServeAsync();
        await Patience.For(stop, "the end of the exporter");
        Assert.Equal((1L, 0L), (trusting.Sent, queue.Dropped));

        var second = new SpanQueue(NullLogger.Instance, TimeProvider.System);
        var careful = new SpanExporter(second, new OtlpReceiver(new() { Otlp = url }, TimeProvider.System), "1", NullLogger.Instance, TimeProvider.System);
        Span("untrusted", second).Dispose();
        stop = Task.Run(careful.Dispose, TestContext.Current.CancellationToken);
        await Assert.ThrowsAnyAsync<Exception>(ServeAsync);
        await Patience.For(stop, "the end of the exporter");
        Assert.Equal((0L, 1L), (careful.Sent, second.Dropped));

        async Task ServeAsync()
        {
            using var connection = await Patience.For(listener.AcceptTcpClientAsync(), "a connection");
            await using var tls = new SslStream(connection.GetStream());
            await tls.AuthenticateAsServerAsync(certificate);
            var read = new byte[64 << 10];
            var length = 0;
            while (!Encoding.Latin1.GetString(read, 0, length).Contains("trusted", StringComparison.Ordinal))
            {
                var more = await tls.ReadAsync(read.AsMemory(length));
                if (more == 0) throw new IOException("the client went away");
                length += more;
            }

            await tls.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"u8.ToArray());
        }
    }

    [Fact]
    public void Values_of_any_length_Are_read_as_they_were_written()
    {
        var exporter = Exporter();
        foreach (var length in new[] { 0, 1, 126, 127, 128, 129, 1000 })
        {
            using var span = Span("é" + new string('n', length * 20));
            span.Set("text", new string('語', length));
            span.Set("number", length - 500L);
            span.Set("nothing", (string?)null);
        }

        exporter.Dispose();

        Assert.Equal([0, 1, 126, 127, 128, 129, 1000], ear.Spans.Select(static span => span.Values["text"].Length));
        Assert.All(ear.Spans, static span =>
        {
            var length = span.Values["text"].Length;
            Assert.Equal("é" + new string('n', length * 20), span.Name);
            Assert.Equal(unchecked((ulong)(length - 500L)).ToString(System.Globalization.CultureInfo.InvariantCulture), span.Values["number"]);
            Assert.Equal(2, span.Values.Count);
        });
    }

    [Fact]
    public async Task Receiver_goes_and_returns_The_log_says_each_once_and_counts_what_was_lost()
    {
        var log = new ListLog();
        var told = new SpanQueue(log, TimeProvider.System);
        ear.Host.Once(static exchange => exchange.WholeAsync(503, "text/plain", "busy", "Retry-After: 0"));
        ear.Host.Once(static exchange => exchange.WholeAsync(503, "text/plain", "busy", "Retry-After: 0"));
        ear.Host.Once(static exchange => exchange.WholeAsync(400, "text/plain", "no"));
        using var exporter = new SpanExporter(told, new OtlpReceiver(new() { Otlp = ear.Url }, TimeProvider.System), "1", log, TimeProvider.System);
        Span("lost", told).Dispose();
        await Patience.Until(() => Task.FromResult(told.Dropped == 1), "the span is dropped");
        Span("sent", told).Dispose();
        await Patience.Until(() => Task.FromResult(log.Lines.Count == 3), "the receiver is back");

        Assert.Equal(
        [
            $"The traces cannot be sent to {ear.Url}/v1/traces: it answers with status 503; calls are served, their spans wait or are dropped",
            "1 spans were dropped, 1 since the start: it answers with status 400",
            $"The traces are sent to {ear.Url}/v1/traces again; spans dropped since the start: 1",
        ], log.Lines);
    }

    private SpanExporter Exporter(TracesConfig? config = null) => new(
        queue, new OtlpReceiver(config ?? new() { Otlp = ear.Url }, TimeProvider.System), "1", NullLogger.Instance, TimeProvider.System);

    private sealed class ListLog : ILogger
    {
        private readonly ConcurrentQueue<string> lines = new();

        public IReadOnlyCollection<string> Lines => [.. lines];

        public IDisposable? BeginScope<T>(T state) where T : notnull => null;

        public bool IsEnabled(LogLevel level) => true;

        public void Log<T>(LogLevel level, EventId id, T state, Exception? problem, Func<T, Exception?, string> text) => lines.Enqueue(text(state, problem));
    }

    private TracedSpan Span(string name, SpanQueue? other = null) =>
        new(other ?? queue, new LocalTrace(TraceParents.NewTrace(), TimeProvider.System), 0, name, SpanKind.Internal);
}
