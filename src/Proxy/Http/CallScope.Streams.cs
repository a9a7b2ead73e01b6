using System.Globalization;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>The part of a call that other calls can share: its answer.</summary>
internal sealed partial class CallScope
{
    private const int Closed = 0, Open = 1, LookedAt = 2;

    // Calls look at each other under the lock on the lifetime, which no other code takes: an object for the lock alone would cost every call an allocation. A
    // call at which no other looks takes no lock.
    private int joins = Closed; // Open from the time when a route is asked until its answer begins
    private ChatCall? joinable; // read only while others can join
    private AnswerJournal? journal;
    private bool ownsJournal; // this call generates the journal's answer
    private int hasLeft;
    private JournalWriter? kept; // takes the answer's bytes as the client gets them, if they are kept
    private Task copying = Task.CompletedTask; // copies them to the client

    /// <summary>The client's leaving has been counted.</summary>
    private bool HasLeft => Volatile.Read(ref hasLeft) != 0;

    /// <summary>The generation of this call's answer goes on without the client.</summary>
    private bool GeneratesOn => ownsJournal && journal is { IsOver: false } && !lifetime.IsCancellationRequested;

    /// <summary>The answer is written here instead of to the client, who gets a copy; null: its bytes are not kept.</summary>
    public JournalWriter? Kept => kept;

    /// <summary>A part of the answer has been written, whether the client has got it or not.</summary>
    public bool HasBegun => Context.Response.HasStarted || kept is { HasBegun: true };

    /// <summary>Keeps the bytes of this call's answer, and its generation going without the client.</summary>
    public void Keep(AnswerJournal opened)
    {
        bool isLate;
        lock (lifetime)
        {
            opened.Hold(lifetime);
            opened.Enter();
            kept = new JournalWriter(opened);
            isLate = HasLeft;
        }

        if (isLate) opened.Leave(TimeSpan.Zero);
        if (opened.Read() is { } body) copying = JournalCopy.RunAsync(body, Context);
    }

    /// <summary>The answer's kept bytes are complete. Waits until the client has them.</summary>
    public async ValueTask EndKeptAsync()
    {
        if (kept is not { } writer) return;
        await writer.FlushAsync();
        writer.Journal.End(new(EndKind.Whole, null));
        if (writer.Journal.Length == 0) parts.Sharing.Journals.Remove(writer.Journal); // the answer was no stream
        await copying;
        if (ClientLeft) await LeftAsync();
    }

    /// <summary>The client has its answer, which says only that the work has begun. The code that does the work disposes the scope.</summary>
    public bool IsDetached { get; private set; }

    /// <summary>The journal of this call's answer; null: it has none.</summary>
    public AnswerJournal? Journal => Volatile.Read(ref journal);

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
        joinable = call;
        Volatile.Write(ref joins, Open);
    }

    /// <summary>The answer begins, so no other call can join. Returns the journal that the answer goes to; null: only the client reads it.</summary>
    public AnswerJournal? CloseJoins()
    {
        if (Volatile.Read(ref joins) != Closed && Interlocked.CompareExchange(ref joins, Closed, Open) != Open)
        {
            lock (lifetime) joins = Closed; // waits until the other call has looked
        }

        return journal;
    }

    /// <summary>This call generates the answer that the journal keeps.</summary>
    public void Own(AnswerJournal opened)
    {
        bool isLate;
        lock (lifetime)
        {
            opened.Hold(lifetime);
            opened.Enter();
            (journal, ownsJournal) = (opened, true);
            isLate = HasLeft;
        }

        if (isLate) opened.Leave(TimeSpan.Zero);
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
        bool isLate; // the client left before this call had a journal to leave
        lock (lifetime) (journal, isLate) = (entered, HasLeft);
        if (isLate) entered.Leave(TimeSpan.Zero);
    }

    /// <summary>
    /// Lets an equal call read this call's answer. Returns the journal, which that call has then entered; null: the calls differ, or it is too late.
    /// </summary>
    /// <param name="other">That call's body, which is cheaper to compare than its digest is to compute.</param>
    /// <param name="digest">Its digest.</param>
    public AnswerJournal? Join(ReadOnlySpan<byte> other, Func<string> digest)
    {
        lock (lifetime)
        {
            if (Interlocked.CompareExchange(ref joins, LookedAt, Open) != Open) return null;
            try
            {
                if (joinable is not { OriginalBody: { } body } || lifetime.IsCancellationRequested || !body.Span.SequenceEqual(other)) return null;
                var own = journal?.Origin.Digest ?? CallDigest.Of(this, joinable);
                if (own != digest() || (journal is null && HasLeft)) return null;
                if (journal is null) Own(parts.Sharing.OpenShared(this, joinable, own));
                return journal!.IsJoinable && journal.Enter() ? journal : null;
            }
            finally
            {
                Volatile.Write(ref joins, Open);
            }
        }
    }

    /// <summary>Ends the kept bytes with an error: a client that comes back must not take half an answer for a whole.</summary>
    private async ValueTask EndKeptAsync(JournalWriter writer, ProxyError error)
    {
        if (!writer.Journal.IsOver)
        {
            WriteStreamError(error.Kind is ProxyErrorKind.ClientLeft ? AnswerJournal.Cancelled : error, writer);
            await writer.FlushAsync();
            writer.Journal.End(new(EndKind.Whole, null));
        }

        await copying;
        if (ClientLeft) Context.Abort();
    }

    private void OnClientLeft()
    {
        AnswerJournal? read;
        JournalWriter? written;
        var window = TimeSpan.Zero;
        lock (lifetime)
        {
            if (HasLeft) return;
            var isOpen = Interlocked.CompareExchange(ref joins, LookedAt, Open) == Open;
            if (WillTryAgain() && (journal is null ? isOpen : !journal.WasSeen)) window = parts.Sharing.RetryWindow;
            if (isOpen && journal is null && window > TimeSpan.Zero && joinable is { OriginalBody: not null })
                Own(parts.Sharing.OpenShared(this, joinable, CallDigest.Of(this, joinable)));
            if (isOpen) Volatile.Write(ref joins, Open);
            (read, written) = (journal, kept);
            Volatile.Write(ref hasLeft, 1); // what the call opens or enters from now on is left at once
        }

        written?.Journal.Leave(TimeSpan.Zero);
        read?.Leave(window);
        lifetime.ClientLeft();
    }

    /// <summary>
    /// Whether the client has left to try again. OpenAI's and Anthropic's SDKs send their time-out in seconds, in one of two headers, or in both (one of them
    /// may be no number, or longer): such a client tries again if it waited as long as it said. OpenAI's client for JavaScript says nothing of a time-out that
    /// was set for the whole client. If such a call is itself a retry, the client has shown that it tries again.
    /// </summary>
    private bool WillTryAgain()
    {
        var headers = Context.Request.Headers;
        var waited = parts.Time.GetElapsedTime(Record.Started).TotalSeconds;
        var isAnnounced = false;
        return (headers.TryGetValue("x-stainless-timeout", out var said) && Waited(said))
            || (headers.TryGetValue("x-stainless-read-timeout", out said) && Waited(said))
            || (!isAnnounced && Info.Wishes is { IsRetry: true });

        bool Waited(string? timeout)
        {
            if (!double.TryParse(timeout, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) || !(seconds > 0)) return false;
            isAnnounced = true;
            return waited >= 0.9 * seconds;
        }
    }
}
