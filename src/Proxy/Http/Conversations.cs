using Proxy.Chat;
using Proxy.Config;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Streams that are kept as llama.cpp's server keeps them: a call with <c>X-Conversation-Id</c> has its bytes kept under that id as its client gets them, and
/// its generation goes on without the client. One conversation has one stream: the next call takes the place of the one before.
/// </summary>
internal sealed class Conversations(JournalTable journals, Func<StreamsConfig> config, ActiveCalls calls, TimeProvider time)
{
    private const int LongestId = 512;

    /// <summary>Keeps what this call's client will get, if it asks for it. A conversation's answer that is not a stream is not kept.</summary>
    public ProxyError? Begin(CallScope scope, ChatCall call)
    {
        if (scope.Info.Wishes?.ConversationId is not { } id || !call.Streams) return null;
        if (id.Length > LongestId)
        {
            return new(ProxyErrorKind.InvalidRequest, $"X-Conversation-Id has {id.Length} characters; it may have at most {LongestId}") { Param = "X-Conversation-Id" };
        }

        var (journal, previous) = journals.Replace(new(
            scope.Info.TraceId, CallDigest.Owner(scope), call.Dialect, scope.Record.Surface, call.Envelope.Model, Streams: true, time.GetUtcNow())
        {
            Conversation = id,
            Linger = config().Linger,
            Keep = config().Keep,
        });
        if (previous is not null) Cancel(previous, "another call with the same X-Conversation-Id took the place of this one");
        scope.Keep(journal);
        return null;
    }

    /// <summary>The stream that is kept for a conversation of this caller; null: none.</summary>
    public AnswerJournal? Find(CallScope scope, string id) =>
        journals.Conversations(CallDigest.Owner(scope), each => each == id) is [var found, ..] ? found : null;

    /// <summary>
    /// The streams of these conversations of this caller. llama.cpp's web page appends the model's name to an id (<c>ID::MODEL</c>): the id alone finds
    /// them too.
    /// </summary>
    public IEnumerable<AnswerJournal> Find(CallScope scope, IEnumerable<string> ids) => ids.SelectMany(id =>
        journals.Conversations(CallDigest.Owner(scope), each => each == id || each.StartsWith(id + "::", StringComparison.Ordinal)));

    /// <summary>Cancels a stream's generation, and forgets the stream.</summary>
    public void Cancel(AnswerJournal journal, string why)
    {
        if (!journal.IsOver)
        {
            var call = calls.Snapshot().FirstOrDefault(call => call.Info.TraceId == journal.Origin.TraceId);
            call?.Interrupt(new(ProxyErrorKind.Cancelled, why));
        }

        journals.Remove(journal);
    }
}
