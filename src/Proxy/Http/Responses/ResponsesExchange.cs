using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Routes;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>
/// A call for a response. If the call continues an earlier response, that conversation is put in front of its input. If the response is to be kept, it gets a
/// journal. All other calls are chat calls like those of the other dialects.
/// </summary>
internal sealed class ResponsesExchange(string surface, RouteTable routes, KeptResponses kept, ExchangeParts parts)
    : ChatExchange(surface, KeptResponses.Dialect, routes, parts)
{
    protected override ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body) =>
        kept.KeepsByDefault || Resumes(scope) || ResponseWishes.MayBeIn(body.Span) ? AnswerWishesAsync(scope, body) : base.AnswerAsync(scope, body);

    protected override Followers Following(Followers followers, AnswerJournal journal)
    {
        if (journal.Origin.Request is null) return followers;
        var record = new ResponseRecord(journal, kept);
        return new([.. followers.Taps, record], record.IsStored ? [.. followers.Gates, record] : followers.Gates);
    }

    protected override async ValueTask WriteStateAsync(CallScope scope, AnswerJournal journal)
    {
        using var body = new PooledBody();
        ResponseState.Write(journal, body);
        await WriteAsync(scope, KeptResponses.Dialect.WholeContentType, body);
    }

    private bool Resumes(CallScope scope) => scope.Info.Wishes?.Resume is { } said ? said is "1" or "true" : kept.ResumesAll;

    private async ValueTask<ProxyError?> AnswerWishesAsync(CallScope scope, PooledBody body)
    {
        if (Open(scope, body, out var call) is { } unreadable) return unreadable;
        var problem = ResponseWishes.Read(body.Span, out var wishes);
        var keeps = wishes.Background || (wishes.Store ?? (kept.KeepsByDefault || Resumes(scope)));
        if (problem is null && !keeps && wishes.Previous is null) return await AnswerAsync(scope, call!, null);

        using var original = call; // disposed earlier, if the call can be answered
        EarlierConversation? earlier = null;
        if (problem is null && wishes.Previous is { } previous) (earlier, problem) = await kept.ContinueAsync(scope, previous);
        if (problem is not null) return problem;
        var (prepared, request) = Prepare(scope, body.Span, wishes, earlier, keeps);
        call!.Dispose();
        return await AnswerAsync(scope, prepared, request);
    }

    /// <summary>The call as the hosts get it, and what is kept of it.</summary>
    private static (ChatCall Call, KeptRequest? Request) Prepare(
        CallScope scope, ReadOnlySpan<byte> body, ResponseWishes wishes, EarlierConversation? earlier, bool keeps)
    {
        var terms = new KeepingTerms(IsStored: keeps && wishes.Store is not false, wishes.Background, wishes.Previous);
        var whole = wishes.Written(body, earlier is null ? default : earlier.Items.Span);
        var call = new ChatCall(KeptResponses.Dialect, Envelope(whole.Span), scope.Info, whole)
        {
            Headers = scope.CrossingHeaders,
            Terms = terms,
            Remembered = earlier?.Backend is { } backend ? Remembered(backend, wishes, body) : null,
        };
        var name = KeptResponses.NameOf(scope.Info.TraceId);
        var atOnce = wishes is { Background: true, Streams: false };
        return (call, keeps ? new KeptRequest(name, whole.Span.ToArray(), earlier?.Count ?? 0, terms, atOnce) : null);
    }

    private static RememberedBody Remembered(string backend, ResponseWishes wishes, ReadOnlySpan<byte> body)
    {
        using var written = wishes.Written(body, default);
        var bytes = written.Span.ToArray();
        return new(backend, bytes, Envelope(bytes));
    }

    // The client's body has been read, and what was added to it is valid JSON: there is no error.
    private static ChatEnvelope Envelope(ReadOnlySpan<byte> body) =>
        EnvelopePeek.Read(body, out var envelope) is null ? envelope! : throw new InvalidOperationException("the edited request cannot be read");
}
