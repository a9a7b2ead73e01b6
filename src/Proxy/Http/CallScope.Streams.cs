using System.Globalization;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>The part of a call that other calls can share: its answer.</summary>
internal sealed partial class CallScope
{
    // Guarded by the lock on the lifetime, which no other code takes: an object for the lock alone would cost every call an allocation.
    private ChatCall? joinable; // while equal calls can join: from the time when a route is asked until its answer begins
    private AnswerJournal? journal;
    private bool ownsJournal; // this call generates the journal's answer
    private int hasLeft;

    /// <summary>The generation of this call's answer goes on without the client.</summary>
    private bool GeneratesOn => ownsJournal && journal is { IsOver: false } && !lifetime.IsCancellationRequested;

    /// <summary>The client has its answer, which says only that the work has begun. The code that does the work disposes the scope.</summary>
    public bool IsDetached { get; private set; }

    /// <summary>The journal of this call's answer; null: it has none.</summary>
    public AnswerJournal? Journal { get { lock (lifetime) return journal; } }

    /// <summary>
    /// Lets the work go on without the client, whose connection can then carry its next call. What is still written goes nowhere.
    /// </summary>
    public void Detach()
    {
        IsDetached = true;
        left.Dispose();
        Context = new DefaultHttpContext { Response = { Body = Stream.Null } };
    }

    /// <summary>Equal calls can join from now on.</summary>
    public void OpenJoins(ChatCall call)
    {
        lock (lifetime) joinable = call;
    }

    /// <summary>The answer begins, so no other call can join. Returns the journal that the answer goes to; null: only the client reads it.</summary>
    public AnswerJournal? CloseJoins()
    {
        lock (lifetime)
        {
            joinable = null;
            return journal;
        }
    }

    /// <summary>This call generates the answer that the journal keeps.</summary>
    public void Own(AnswerJournal opened)
    {
        lock (lifetime)
        {
            opened.Hold(lifetime);
            opened.Enter();
            (journal, ownsJournal) = (opened, true);
        }

        if (opened.Origin.Resumable) Context.Response.Headers.Location = $"{StreamEndpoints.Root}/{Info.TraceId}";
    }

    /// <summary>Another process generates the answer after all. This call only reads it.</summary>
    public void HandOver()
    {
        lock (lifetime) ownsJournal = false;
        if (journal!.Origin.Resumable) Context.Response.Headers.Location = $"{StreamEndpoints.Root}/{journal.Origin.TraceId}";
        journal.Release();
    }

    /// <summary>This call reads the answer that another one generates. The caller has entered the journal.</summary>
    public void Read(AnswerJournal entered)
    {
        lock (lifetime) journal = entered;
    }

    /// <summary>
    /// Lets an equal call read this call's answer. Returns the journal, which that call has then entered; null: the calls differ, or it is too late.
    /// </summary>
    /// <param name="length">The length of that call's body, which is cheap to compare.</param>
    /// <param name="digest">Its digest.</param>
    public AnswerJournal? Join(int length, Func<string> digest)
    {
        lock (lifetime)
        {
            if (joinable is not { OriginalBody: { } body } || body.Length != length || lifetime.IsCancellationRequested) return null;
            if (CallDigest.Of(this, body.Span) is var own && own != digest()) return null;
            if (journal is null) Own(parts.Sharing.OpenShared(this, joinable, own));
            return journal!.IsJoinable && journal.Enter() ? journal : null;
        }
    }

    private void OnClientLeft()
    {
        if (Interlocked.Exchange(ref hasLeft, 1) != 0) return;
        AnswerJournal? read;
        var window = TimeSpan.Zero;
        lock (lifetime)
        {
            if (LeftAtItsTimeout() && (journal is null ? joinable is not null : !journal.WasSeen)) window = parts.Sharing.RetryWindow;
            if (journal is null && window > TimeSpan.Zero && joinable is { OriginalBody: { } body })
                Own(parts.Sharing.OpenShared(this, joinable, CallDigest.Of(this, body.Span)));
            read = journal;
        }

        read?.Leave(window);
        lifetime.ClientLeft();
    }

    /// <summary>
    /// Whether the client waited as long as it said that it would. OpenAI's and Anthropic's SDKs send their time-out in seconds, in one of two headers; such a
    /// client will try again.
    /// </summary>
    private bool LeftAtItsTimeout()
    {
        var headers = Context.Request.Headers;
        return (headers.TryGetValue("x-stainless-timeout", out var said) || headers.TryGetValue("x-stainless-read-timeout", out said))
            && double.TryParse(said, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds)
            && parts.Time.GetElapsedTime(Record.Started).TotalSeconds >= 0.9 * seconds;
    }
}
