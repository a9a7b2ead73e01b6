using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

/// <summary>Plain frames of a journal go from the thread that appends straight to the client's sink; all others are read by the client's generation.</summary>
public sealed class PlainFrameTests : IDisposable
{
    private const string Usage = """data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22}}""" + "\n\n";
    private const string Stop = """data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\n";
    private const string Done = "data: [DONE]\n\n";

    private readonly FakeTimeProvider time = new();
    private readonly JournalTable table;
    private readonly AnswerJournal journal;

    public PlainFrameTests()
    {
        table = new JournalTable(time, static () => long.MaxValue);
        journal = Open("a");
    }

    public void Dispose() => table.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_gets_the_bytes_that_a_later_reader_gets(bool ids)
    {
        var random = new Random(7);
        for (var round = 0; round < 30; round++)
        {
            var answer = Open($"r{round}");
            var output = new Output();
            var reading = ReadAsync(answer, output, ids);
            for (var i = 0; i < 60; i++)
            {
                if (random.Next(5) == 0) output.Hold();
                if (random.Next(4) == 0) output.Release();
                switch (random.Next(6))
                {
                    case 0: answer.Append(Encoding.UTF8.GetBytes(Token(i) + Token(-i))); break; // two frames are not plain
                    case 1: answer.Append(Encoding.UTF8.GetBytes(Usage)); break;
                    default: answer.Append(Encoding.UTF8.GetBytes(Token(i)), isPlain: true); break;
                }
            }

            answer.Append(Encoding.UTF8.GetBytes(Stop + Done));
            output.Release();
            answer.End(new(EndKind.Whole, null));
            var end = await reading;

            var later = new Output();
            await ReadAsync(answer, later, ids);
            Assert.Equal(later.Text, output.Text);
            Assert.Equal(EndKind.Whole, end.Kind);
            Assert.Equal(ids, later.Text.Contains("id: a/61\n", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Plain_frame_is_sent_by_the_thread_that_appends_It_does_not_wake_the_generation()
    {
        var output = new Output();
        var reading = ReadAsync(journal, output, ids: true);
        journal.Append(Encoding.UTF8.GetBytes(Token(1)), isPlain: true);

        Assert.Equal("id: a/1\n" + Token(1), output.Text);
        Assert.Equal(1, output.Writes);
        output.Hold();
        journal.Append(Encoding.UTF8.GetBytes(Token(2)), isPlain: true);
        journal.Append(Encoding.UTF8.GetBytes(Token(3)), isPlain: true); // the client has not taken the second yet
        journal.Append(Encoding.UTF8.GetBytes(Token(4)), isPlain: true);
        Assert.Equal(2, output.Writes);
        output.Release();

        Assert.Equal(3, output.Writes); // the third and fourth at once
        journal.Append(Encoding.UTF8.GetBytes(Done));
        journal.End(new(EndKind.Whole, null));
        Assert.Equal(EndKind.Whole, (await reading).Kind);
        Assert.EndsWith("id: a/4\n" + Token(4) + "id: a/5\n" + Done, output.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_that_takes_no_more_Ends_its_generation_and_not_the_journal()
    {
        var output = new Output();
        var reading = ReadAsync(journal, output, ids: false);
        output.IsGone = true;
        journal.Append(Encoding.UTF8.GetBytes(Token(1)), isPlain: true);

        Assert.Equal(EndKind.ClientLeft, (await reading).Kind);
        journal.Append(Encoding.UTF8.GetBytes(Token(2)), isPlain: true);
        Assert.Equal(Token(1) + Token(2), Encoding.UTF8.GetString(journal.ToArray()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Writer_that_throws_Its_client_gets_the_exception(bool late)
    {
        var output = new Output();
        var reading = ReadAsync(journal, output, ids: false);
        if (late) output.Hold();
        else output.Problem = new InvalidOperationException("broken");
        journal.Append(Encoding.UTF8.GetBytes(Token(1)), isPlain: true);
        if (late) output.Break(new InvalidOperationException("broken"));

        Assert.Equal("broken", (await Assert.ThrowsAsync<InvalidOperationException>(() => reading)).Message);
    }

    [Fact]
    public async Task Client_that_leaves_while_a_plain_frame_waits_for_it_Ends_once_it_is_sent()
    {
        var output = new Output();
        var reply = Reply(journal);
        var reading = ReadAsync(reply, output, ids: false);
        output.Hold();
        journal.Append(Encoding.UTF8.GetBytes(Token(1)), isPlain: true);
        reply.Body.Cancel();
        output.Release();

        Assert.Equal(EndKind.ClientLeft, (await reading).Kind);
    }

    [Fact]
    public async Task Keep_alive_comes_after_silence_and_not_between_plain_frames()
    {
        var kept = 0;
        var output = new Output();
        var reading = ReadAsync(Reply(journal), output, ids: false, () => kept++);
        for (var i = 0; i < 10; i++)
        {
            time.Advance(TimeSpan.FromSeconds(5));
            journal.Append(Encoding.UTF8.GetBytes(Token(i)), isPlain: true);
        }

        Assert.Equal(0, kept);
        for (var i = 0; i < 16; i++) time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(1, kept);
        journal.Append(Encoding.UTF8.GetBytes(Done));
        journal.End(new(EndKind.Whole, null));
        Assert.Equal(EndKind.Whole, (await reading).Kind);
    }

    private static string Token(int number) => $$$"""data: {"choices":[{"index":0,"delta":{"content":"word {{{number}}} "}}]}""" + "\n\n";

    private AnswerJournal Open(string name)
    {
        var opened = table.Open(new JournalOrigin(name, "ann", new OpenAiChatClientDialect(), "/v1/chat/completions", "m", true, default) { Resumable = true });
        opened.Begin(new() { Status = 200, Backend = "b", ServedModel = "m", Dialect = Replies.OpenAi, Verbatim = true, Streams = true, Stamp = default });
        return opened;
    }

    private static BackendReply Reply(AnswerJournal journal) => journal.Head!.Reply(journal.Read()!, new PooledBody(16), static () => null);

    private static Task<GenerationEnd> ReadAsync(AnswerJournal journal, Output output, bool ids) => ReadAsync(Reply(journal), output, ids);

    private static async Task<GenerationEnd> ReadAsync(BackendReply reply, Output output, bool ids, Action? kept = null)
    {
        using var sink = new VerbatimSink(reply, new Replies.Client(output, ": keep-alive\n\n", kept), null,
            ids: ids ? new FrameIds("a", StreamPlace.Start, writes: true) : null);
        using var generation = new Generation(reply, sink, TimeSpan.FromSeconds(15), Followers.None);
        return await generation.RunAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
    }

    /// <summary>A client that can be slow, gone or broken.</summary>
    private sealed class Output : PipeWriter
    {
        private readonly ArrayBufferWriter<byte> sent = new();
        private TaskCompletionSource<FlushResult>? held;
        private bool holds;

        public string Text => Encoding.UTF8.GetString(sent.WrittenSpan);

        public int Writes { get; private set; }

        public bool IsGone { get; set; }

        public Exception? Problem { get; set; }

        public override bool CanGetUnflushedBytes => true;

        public override long UnflushedBytes => 0;

        public void Hold() => holds = true;

        public void Release()
        {
            holds = false;
            Interlocked.Exchange(ref held, null)?.SetResult(default);
        }

        public void Break(Exception problem) => held!.SetException(problem);

        public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
        {
            Assert.Null(held); // one write at a time
            if (Problem is not null) throw Problem;
            Writes++;
            sent.Write(source.Span);
            if (holds) return new((held = new()).Task);
            return new(new FlushResult(isCanceled: false, isCompleted: IsGone));
        }

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => default;

        public override Memory<byte> GetMemory(int sizeHint = 0) => throw new NotSupportedException();

        public override Span<byte> GetSpan(int sizeHint = 0) => throw new NotSupportedException();

        public override void Advance(int bytes) => throw new NotSupportedException();

        public override void CancelPendingFlush() { }

        public override void Complete(Exception? exception = null) { }
    }
}
