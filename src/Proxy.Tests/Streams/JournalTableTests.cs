using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Streams;

namespace Proxy.Tests.Streams;

/// <summary>The memory that kept answers take.</summary>
public sealed class JournalTableTests : IDisposable
{
    private readonly JournalTable table = new(new FakeTimeProvider(), static () => 100);

    [Fact]
    public void Answer_is_removed_while_it_is_generated_What_still_comes_does_not_count()
    {
        var journal = Open("a");
        journal.Append(new byte[10]);

        table.Remove(journal);
        journal.Append(new byte[10]);
        journal.End(new(EndKind.Whole, null));

        Assert.Equal(0, table.Used);
    }

    [Fact]
    public async Task Largest_answer_is_dropped_while_it_grows_The_count_stays_true()
    {
        var journals = Enumerable.Range(0, 4).Select(i => Open($"t{i}")).ToArray();

        await Task.WhenAll(journals.Select(journal => Task.Run(() =>
        {
            for (var i = 0; i < 1000; i++)
            {
                journal.Append(new byte[1]);
                if (journal.Read() is { } reader) reader.Dispose();
            }
        })));

        Assert.Equal(journals.Where(static journal => journal.IsReadable).Sum(static journal => journal.Length), table.Used);
        Assert.True(table.Used <= 100, $"{table.Used} bytes");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Small_answers_and_refusals_count_with_all_the_memory_that_they_take(bool refused)
    {
        using var kept = new JournalTable(new FakeTimeProvider(), static () => 1 << 20);

        for (var i = 0; i < 5000; i++)
        {
            var (journal, _) = kept.Claim(
                new($"t{i}", "ann", new OpenAiChatClientDialect(), "/x", "m", Streams: true, default) { Key = $"k{i}", Keep = TimeSpan.FromDays(1) });
            if (refused)
            {
                journal.Refuse(new(ProxyErrorKind.HostRefused, "no") { Status = 400 });
                continue;
            }

            journal.Append(new byte[10]);
            journal.End(new(EndKind.Whole, null));
        }

        Assert.InRange(kept.Count, 100, 1000); // each takes one to four KiB
        Assert.True(kept.Used <= 1 << 20, $"{kept.Used} bytes");
    }

    [Fact]
    public void Nobody_came_back_in_time_The_key_is_free_although_the_generation_has_not_ended_yet()
    {
        var time = new FakeTimeProvider();
        using var kept = new JournalTable(time, static () => 1 << 20);
        var origin = new JournalOrigin("t", "ann", new OpenAiChatClientDialect(), "/x", "m", Streams: true, default) { Key = "k" };
        var (journal, _) = kept.Claim(origin);
        journal.Enter();
        journal.Leave(TimeSpan.FromSeconds(10));
        Assert.False(kept.Claim(origin with { TraceId = "u" }).IsNew);

        time.Advance(TimeSpan.FromSeconds(10));
        var (next, isNew) = kept.Claim(origin with { TraceId = "v" });
        journal.End(new(EndKind.ClientLeft, null));

        Assert.True(isNew);
        Assert.Equal((next, false), kept.Claim(origin with { TraceId = "w" }));
    }

    public void Dispose() => table.Dispose();

    private AnswerJournal Open(string id) =>
        table.Open(new(id, "ann", new OpenAiChatClientDialect(), "/v1/chat/completions", "m", Streams: true, default) { Resumable = true });
}
