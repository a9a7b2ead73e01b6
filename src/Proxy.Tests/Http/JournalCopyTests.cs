using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Http;
using Proxy.Streams;

namespace Proxy.Tests.Http;

/// <summary>What a client gets of bytes that are kept.</summary>
public sealed class JournalCopyTests
{
    [Theory]
    [InlineData(true, EndKind.BrokeOff, true)]
    [InlineData(true, EndKind.Whole, false)]
    [InlineData(false, EndKind.BrokeOff, false)]
    internal async Task Kept_bytes_break_off_The_connection_is_closed_if_something_was_sent(bool sends, EndKind kind, bool aborts)
    {
        using var table = new JournalTable(TimeProvider.System, static () => long.MaxValue);
        var journal = table.Open(new("t", "ann", new OpenAiChatClientDialect(), "/x", "m", Streams: true, default) { Conversation = "c" });
        var connection = new Connection();
        var context = new DefaultHttpContext();
        context.Features.Set<IHttpRequestLifetimeFeature>(connection);
        var copying = JournalCopy.RunAsync(journal.Read()!, context);

        if (sends) journal.Append("data: half\n\n"u8);
        journal.End(new(kind, null, kind is EndKind.Whole ? null : new(ProxyErrorKind.Internal, "the proxy failed")));
        await copying.WaitAsync(TimeSpan.FromSeconds(10));

        Assert.Equal(aborts, connection.IsAborted);
    }

    private sealed class Connection : IHttpRequestLifetimeFeature
    {
        public bool IsAborted { get; private set; }

        public CancellationToken RequestAborted { get; set; }

        public void Abort() => IsAborted = true;
    }
}
