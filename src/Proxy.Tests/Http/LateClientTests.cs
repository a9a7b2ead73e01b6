using Microsoft.AspNetCore.Http;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Streams;

namespace Proxy.Tests.Http;

/// <summary>A client leaves at the moment in which its call finds or begins an answer that is kept.</summary>
public sealed class LateClientTests
{
    [Fact]
    public async Task Client_has_left_before_its_call_joins_The_generation_ends_with_its_other_client()
    {
        await using var edge = await Edge.StartAsync();
        using var lifetime = new CallLifetime();
        var journal = Open(edge);
        journal.Hold(lifetime);
        journal.Enter();

        using (var late = Call(edge))
        {
            journal.Enter();
            late.Read(journal);
        }

        journal.Leave(TimeSpan.Zero);
        lifetime.ClientLeft();
        Assert.True(lifetime.IsCancellationRequested);
    }

    [Fact]
    public async Task Client_has_left_before_its_call_begins_a_journal_Nobody_is_waited_for()
    {
        await using var edge = await Edge.StartAsync();
        using var late = Call(edge);
        var journal = Open(edge);

        late.Own(journal);

        Assert.Equal(0, journal.Until);
    }

    private static AnswerJournal Open(Edge edge) =>
        edge.Parts.Sharing.Journals.Open(new("t", "anonymous", new OpenAiChatClientDialect(), "/x", "m", Streams: true, default));

    private static CallScope Call(Edge edge) =>
        CallScope.Begin(new DefaultHttpContext { RequestAborted = new(true) }, "/x", new OpenAiChatClientDialect(), edge.Parts);
}
