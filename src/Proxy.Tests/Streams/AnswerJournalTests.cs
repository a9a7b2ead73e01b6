using System.Security.Cryptography;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Streams;

namespace Proxy.Tests.Streams;

public sealed class AnswerJournalTests
{
    private static readonly OpenAiChatClientDialect Client = new();
    private static readonly OpenAiChatBackendDialect Host = new();

    [Fact]
    public async Task Eight_readers_of_any_pace_get_every_byte_in_order()
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        var journal = Begin(table, "a");
        var written = RandomNumberGenerator.GetBytes(300_000);
        var readers = Enumerable.Range(0, 8).Select(number => Task.Run(() => ReadAsync(journal, pause: number % 2 == 1))).ToArray();

        for (var (at, random) = (0, new Random(7)); at < written.Length;)
        {
            var count = Math.Min(random.Next(1, 3000), written.Length - at);
            journal.Append(written.AsSpan(at, count));
            at += count;
            if (random.Next(20) == 0) await Task.Yield();
        }

        journal.End(new(EndKind.Whole, null));
        foreach (var reader in readers) Assert.Equal(written, await reader.WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(written, await ReadAsync(journal, pause: false)); // and afterwards
    }

    [Fact]
    public void Appending_wakes_the_reader_on_the_same_thread()
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        var journal = Begin(table, "a");
        var thread = 0;
        var reading = journal.Read()!.ReadAsync().AsTask().ContinueWith(
            _ => thread = Environment.CurrentManagedThreadId, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

        journal.Append("x"u8);

        Assert.True(reading.IsCompletedSuccessfully);
        Assert.Equal(Environment.CurrentManagedThreadId, thread);
    }

    [Theory]
    [InlineData(20_000, 250)]
    [InlineData(200_000, 250)]
    [InlineData(1_000_000, 90)]
    public void Memory_of_an_answer_is_at_most_1_3_times_its_bytes(int bytes, int frame)
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        Fill(Begin(table, "warm"), bytes, frame);
        var journal = Begin(table, "a");
        var before = GC.GetAllocatedBytesForCurrentThread();
        Fill(journal, bytes, frame);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, bytes, bytes * 13 / 10);
    }

    [Fact]
    public async Task Reader_is_cancelled_while_it_waits()
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        var journal = Begin(table, "a");
        using var body = journal.Read()!;
        var reading = body.ReadAsync();

        body.Cancel();

        Assert.Equal(ReplyReadKind.Cancelled, (await reading).Kind);
        Assert.Equal(ReplyReadKind.Cancelled, (await body.ReadAsync()).Kind);
        journal.Append("x"u8); // wakes nobody
    }

    [Fact]
    public async Task Answer_fails_The_readers_get_what_there_is_and_the_error()
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        var journal = Begin(table, "a");
        journal.Append("half"u8);
        journal.End(new(EndKind.BrokeOff, null, new(ProxyErrorKind.HostFailed, "gone")));
        using var body = journal.Read()!;

        Assert.Equal("half"u8.ToArray(), (await body.ReadAsync()).Bytes.ToArray());
        Assert.Equal(ReplyReadKind.Failed, (await body.ReadAsync()).Kind);
        Assert.Equal((JournalState.Failed, "gone"), (journal.State, journal.Error?.Message));
    }

    [Fact]
    public async Task Too_large_to_keep_A_present_reader_gets_all_and_a_slow_one_is_cut()
    {
        using var table = new JournalTable(TimeProvider.System, static () => 1000);
        var journal = Begin(table, "a");
        using var quick = journal.Read()!;
        using var slow = journal.Read()!;
        journal.Append(new byte[2000]);

        Assert.False(journal.IsReadable);
        Assert.Null(journal.Read());
        Assert.Equal(2000, (await quick.ReadAsync()).Bytes.Length);
        for (var i = 0; i < 3; i++)
        {
            journal.Append(new byte[500_000]);
            var got = 0;
            while (got < 500_000) got += (await quick.ReadAsync()).Bytes.Length;
        }

        Assert.Equal(ReplyReadKind.Failed, (await slow.ReadAsync()).Kind);
        Assert.True(slow.IsCut);
        Assert.Equal(0, table.Used);
    }

    [Fact]
    public void Bytes_that_are_counted_are_given_back()
    {
        var time = new FakeTimeProvider();
        using var table = new JournalTable(time, static () => long.MaxValue);
        foreach (var name in (string[])["a", "b"])
        {
            var journal = Begin(table, name);
            Fill(journal, 10_000, 100);
            journal.End(new(EndKind.Whole, null));
        }

        Assert.Equal(2, table.Count);
        Assert.InRange(table.Used, 20_000, 26_000);
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal((0, 0), (table.Used, table.Count));
    }

    [Theory]
    [InlineData("7", 7, int.MaxValue)]
    [InlineData("7.2", 7, 2)]
    [InlineData("T/7", 7, int.MaxValue)]
    [InlineData("T/7.2", 7, 2)]
    public void Place_is_read(string text, long frame, int message)
    {
        Assert.True(StreamPlace.TryParse(text, "T", out var place));
        Assert.Equal(new StreamPlace(frame, message), place);
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("-1")]
    [InlineData("7.")]
    [InlineData("7.x")]
    [InlineData("U/7")]
    [InlineData("99999999999999999999")]
    public void Place_is_none(string text) => Assert.False(StreamPlace.TryParse(text, "T", out _));

    private static AnswerJournal Begin(JournalTable table, string name)
    {
        var origin = new JournalOrigin(name, "ann", Client, "/v1/chat/completions", "m", true, default) { Resumable = true, Keep = TimeSpan.FromMinutes(1) };
        var journal = table.Open(origin);
        journal.Begin(new() { Status = 200, Backend = "b", ServedModel = "m", Dialect = Host, Verbatim = true, Streams = true, Stamp = default });
        return journal;
    }

    private static void Fill(AnswerJournal journal, int bytes, int frame)
    {
        Span<byte> text = stackalloc byte[frame];
        for (var left = bytes; left > 0; left -= frame) journal.Append(text[..Math.Min(frame, left)]);
    }

    private static async Task<byte[]> ReadAsync(AnswerJournal journal, bool pause)
    {
        using var body = journal.Read()!;
        var all = new MemoryStream();
        while (true)
        {
            var read = await body.ReadAsync();
            if (read.Kind is not ReplyReadKind.Data) return read.Kind is ReplyReadKind.End ? all.ToArray() : [];
            all.Write(read.Bytes.Span);
            if (pause) await Task.Delay(1);
        }
    }
}
