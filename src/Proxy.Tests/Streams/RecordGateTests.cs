using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Streams;
using Proxy.Telemetry;

namespace Proxy.Tests.Streams;

public sealed class RecordGateTests
{
    private static readonly Usage Counted = new(9, 7);

    private readonly FakeTimeProvider time = new(new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero));
    private readonly Kept kept = new();
    private readonly FollowedCall call;

    public RecordGateTests()
    {
        var info = new CallInfo("trace", "correlation", "alice") { Session = "s" };
        var body = OpenAi("""{"model":"m","messages":[]}""");
        var chat = new ChatCall(new OpenAiChatClientDialect(), new ChatEnvelope("m#docs", null, default), info, body);
        call = new(new RoutedCall(chat, "m", "docs", "agent"), new()
        {
            TraceId = "trace", CorrelationId = "correlation", Surface = "/v1/chat/completions", Started = time.GetTimestamp(), Model = "m#docs",
            Route = "rag",
        });
    }

    [Fact]
    public async Task Answer_is_complete_The_row_has_what_is_known_at_its_end()
    {
        time.Advance(TimeSpan.FromMilliseconds(20));
        (call.Record.Backend, call.Record.Served, call.Record.FirstToken) = ("gpu", "m-q4", time.GetTimestamp());
        time.Advance(TimeSpan.FromMilliseconds(30));

        var gate = Gate();
        Assert.Null(await gate.BeforeEndAsync(new(EndKind.Whole, Counted), default));
        gate.Ended(new(EndKind.Whole, Counted));

        Assert.Equal(
            new ExchangeRow
            {
                TraceId = "trace", CorrelationId = "correlation", Session = "s", Owner = "alice", Surface = "/v1/chat/completions", Model = "m#docs",
                Route = "rag", Workspace = "docs", Pipeline = "agent", Winner = "m-q4", Backend = "gpu", Status = "ok", InputTokens = 9, OutputTokens = 7,
                Started = new(2026, 3, 4, 12, 0, 0, TimeSpan.Zero), FirstTokenMs = 20, DurationMs = 50,
            },
            Assert.Single(kept.Rows));
    }

    [Theory]
    [InlineData("client_left", true, false)]
    [InlineData("incomplete", true, true)]
    [InlineData("failed", false, false)]
    public void Generation_ends_otherwise_One_row_says_how(string status, bool left, bool interrupted)
    {
        Gate().Ended(new(left ? EndKind.ClientLeft : EndKind.BrokeOff, null) { Interrupted = interrupted });

        var row = Assert.IsType<ExchangeRow>(Assert.Single(kept.Rows));
        Assert.Equal((status, null, null, null), (row.Status, row.Winner, row.OutputTokens, row.FirstTokenMs));
    }

    [Fact]
    public async Task Later_gate_refuses_the_end_There_is_still_one_row()
    {
        var gate = Gate();

        await gate.BeforeEndAsync(new(EndKind.Whole, Counted), default);
        gate.Ended(new(EndKind.BrokeOff, Counted, new(ProxyErrorKind.Internal, "refused")));

        Assert.Single(kept.Rows);
    }

    [Fact]
    public async Task Other_features_have_rows_They_are_in_the_same_transaction()
    {
        var key = new KeyRow { Owner = "alice", Key = "k", TraceId = "trace", Digest = "d", Status = "done", UpdatedAt = default, ExpiresAt = default };
        call.Rows.Add(key);

        await Gate().BeforeEndAsync(new(EndKind.Whole, Counted), default);

        Assert.Equal(1, kept.Transactions);
        Assert.Equal([typeof(ExchangeRow), typeof(KeyRow)], kept.Rows.Select(static row => row.GetType()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Store_fails_The_answer_ends_well_unless_it_needs_its_record(bool needed)
    {
        kept.Failure = new("the disk is full");
        call.NeedsRecord = needed;

        var error = await Gate().BeforeEndAsync(new(EndKind.Whole, Counted), default);

        Assert.Equal(needed ? ProxyErrorKind.StoreFailed : null, error?.Kind);
        Assert.DoesNotContain("disk", error?.Message ?? "", StringComparison.Ordinal);
    }

    [Fact]
    public async Task Content_is_kept_It_is_in_the_row_unless_it_is_too_long()
    {
        var content = new ContentTap("{}"u8.ToArray());
        content.See(1, "data: a\n\n"u8, "a"u8);
        content.See(2, "data: b\n\n"u8, "b"u8);
        await Gate(content).BeforeEndAsync(new(EndKind.Whole, Counted), default);

        var endless = new ContentTap(null);
        for (var i = 0; i < 33; i++) endless.See(i, new byte[1 << 20], default);
        await Gate(endless).BeforeEndAsync(new(EndKind.Whole, Counted), default);

        var rows = kept.Rows.Cast<ExchangeRow>().ToArray();
        Assert.Equal("{}"u8.ToArray(), rows[0].Request);
        Assert.Equal("data: a\n\ndata: b\n\n"u8.ToArray(), rows[0].Answer);
        Assert.Equal((null, null), (rows[1].Request, rows[1].Answer));
    }

    private RecordGate Gate(ContentTap? content = null) => new(call, kept, content, time);

    private static byte[] OpenAi(string body) => System.Text.Encoding.UTF8.GetBytes(body);

    private sealed class Kept : IRecordWriter
    {
        public List<StoreRow> Rows { get; } = [];

        public int Transactions { get; private set; }

        public StoreException? Failure { get; set; }

        public ValueTask WriteAsync(IReadOnlyList<StoreRow> rows, CancellationToken cancellation)
        {
            if (Failure is { } failure) return ValueTask.FromException(failure);
            Transactions++;
            Rows.AddRange(rows);
            return default;
        }

        public void Post(StoreRow row) => Rows.Add(row);
    }
}
