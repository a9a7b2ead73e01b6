using Proxy.Chat;
using Proxy.Config;
using Proxy.Http.Shared;
using Proxy.Streams;

namespace Proxy.Http;

/// <summary>
/// Decides which calls share an answer. A call with an <c>Idempotency-Key</c> gets the answer of the call that had the key before it. A retry joins the equal
/// call that is still running, if that call's client has not received anything. A call with <c>x-resume: 1</c> gets a journal from which its client can read on
/// after a broken connection. All other calls pass without cost.
/// </summary>
internal sealed class CallSharing(JournalTable journals, Func<StreamsConfig> config, ActiveCalls calls, ILogger log, TimeProvider time)
{
    private const int LongestKey = 255;

    public static ProxyError KeyReused => new(ProxyErrorKind.KeyReused,
        "this Idempotency-Key was sent before with another request; use a new key for each new request")
    {
        Param = "Idempotency-Key",
    };

    /// <summary>The database that remembers keys; null: they are remembered in memory only. Set before the first call.</summary>
    public Func<IRecordStore?> Store { get; set; } = static () => null;

    /// <summary>The journals of several proxies; null: each has its own. Set before the first call.</summary>
    public SharedJournals? Shared { get; set; }

    public JournalTable Journals => journals;

    /// <summary>What is kept in llama.cpp's way.</summary>
    public Conversations Conversations { get; } = new(journals, config, calls, time);

    public TimeSpan RetryWindow => config().RetryWindow;

    /// <summary>A call that asks for nothing has nothing to share: no answer waits for a retry, and not every answer is kept.</summary>
    public bool IsIdle => journals.Unclaimed == 0 && config().Resume is not "all";

    /// <summary>
    /// Finds the answer that the call shares, or begins the journal that it asks for. Called before the call counts against its caller's limits.
    /// </summary>
    /// <param name="scope">The call's scope.</param>
    /// <param name="call">The call.</param>
    /// <param name="kept">The request, if the client can fetch the answer by its own id; else null.</param>
    /// <returns>Why the call is refused, and the journal that the call reads instead of asking a route; null: none.</returns>
    public async ValueTask<(ProxyError? Problem, AnswerJournal? Joined)> BeginAsync(CallScope scope, ChatCall call, KeptRequest? kept)
    {
        var wishes = scope.Info.Wishes;
        if (Resumes(wishes?.Resume, out var resumes) is { } unclear) return (unclear, null);
        string? key = null;
        if (wishes?.IdempotencyKey is { } sent && ReadKey(sent, out key) is { } problem) return (problem, null);
        var body = call.OriginalBody!.Value;
        string? computed = null;
        string Digest() => computed ??= CallDigest.Of(scope, call);
        if (key is not null) return await BeginKeyedAsync(scope, Origin(scope, call, Digest(), resumes, kept), key);

        var joined = FindRunning(scope, wishes, body.Span, Digest) ?? (journals.Unclaimed > 0 ? journals.EnterUnclaimed(scope.Caller.Name, Digest()) : null);
        if (joined is not null) scope.Read(joined);
        else if (resumes || kept is not null) scope.Own(journals.Open(Origin(scope, call, Digest(), resumes, kept)));
        return (null, joined);
    }

    /// <summary>Whether the call may be answered with the answer of an earlier one.</summary>
    public static bool MayJoin(CallScope scope) => scope.Info.Wishes is { } wishes && (wishes.IdempotencyKey is not null || wishes.IsRetry);

    /// <summary>Finds the answer that the call shares, and begins none. Returns the error if its key was sent with another request.</summary>
    public (ProxyError? Problem, AnswerJournal? Joined) Find(CallScope scope, ChatCall call)
    {
        var wishes = scope.Info.Wishes;
        var body = call.OriginalBody!.Value;
        string? computed = null;
        string Digest() => computed ??= CallDigest.Of(scope, call);
        AnswerJournal? found;
        if (wishes?.IdempotencyKey is { } sent)
        {
            if (ReadKey(sent, out var key) is { } problem) return (problem, null);
            found = journals.FindKeyed(scope.Caller.Name, KeyOf(scope, key));
            if (found is not null && found.Origin.Digest != Digest()) return (KeyReused, null);
            if (found?.Enter() is not true) return (null, null);
        }
        else
        {
            found = FindRunning(scope, wishes, body.Span, Digest) ?? (journals.Unclaimed > 0 ? journals.EnterUnclaimed(scope.Caller.Name, Digest()) : null);
        }

        if (found is not null) scope.Read(found);
        return (null, found);
    }

    private static string KeyOf(CallScope scope, string key) => scope.Caller.IsAnonymous ? $"{CallDigest.Owner(scope)}/{key}" : key;

    private async ValueTask<(ProxyError? Problem, AnswerJournal? Joined)> BeginKeyedAsync(CallScope scope, JournalOrigin origin, string key)
    {
        origin = origin with
        {
            Key = KeyOf(scope, key),
            Keep = config().KeysTtl,
            Linger = origin.Linger > RetryWindow ? origin.Linger : RetryWindow,
        };
        var (journal, isNew) = journals.Claim(origin);
        if (journal.Origin.Digest != origin.Digest) return (KeyReused, null);
        if (!isNew && journal.Enter())
        {
            scope.Read(journal);
            return (null, journal);
        }

        if (!isNew) journal = journals.Open(origin with { Key = null }); // that one is being given up at this moment
        scope.Own(journal);
        if (!isNew) return (null, null);
        var known = await RestoreAsync(scope, journal);
        return known is not null || journal.IsOver ? (known, journal.IsOver ? journal : null) : await ClaimAsync(scope, journal);
    }

    /// <summary>
    /// Finds the key's answer in the store, and waits for it if another process generates it. Returns the error if the key was sent with another request.
    /// </summary>
    private async ValueTask<ProxyError?> RestoreAsync(CallScope scope, AnswerJournal journal)
    {
        if (Store() is not { } store) return null;
        try
        {
            // Shared journals have claims on keys of their own.
            return Shared is null && store.Leases is { } leases
                ? await new KeyHold(store, leases, journal, calls, log, time).BeginAsync(scope.Cancellation)
                : await KeyRecord.RestoreAsync(store, journal, scope.Cancellation);
        }
        catch (StoreException problem)
        {
            log.StoreUnreadable(problem.Message); // the call is answered: that the key was used before cannot be known now
            return null;
        }
    }

    /// <summary>Takes the key among all proxies, or reads the answer of the one that has it.</summary>
    private async ValueTask<(ProxyError? Problem, AnswerJournal? Joined)> ClaimAsync(CallScope scope, AnswerJournal journal)
    {
        if (Shared is null) return (null, null);
        var (reused, isElsewhere) = await Shared.ClaimAsync(journal, scope.Cancellation);
        if (!isElsewhere) return (reused, null);
        scope.HandOver();
        return (null, journal);
    }

    /// <summary>Begins a journal for a call that others join, or whose client will try again.</summary>
    public AnswerJournal OpenShared(CallScope scope, ChatCall call, string digest) =>
        journals.Open(Origin(scope, call, digest, resumes: false, null));

    /// <summary>An SDK's retry finds the call that it repeats.</summary>
    private AnswerJournal? FindRunning(CallScope scope, CallWishes? wishes, ReadOnlySpan<byte> body, Func<string> digest)
    {
        if (wishes is not { IsRetry: true }) return null;
        foreach (var other in calls.Snapshot())
        {
            if (other != scope && other.Info.Owner == scope.Info.Owner && other.Join(body, digest) is { } journal) return journal;
        }

        return null;
    }

    private JournalOrigin Origin(CallScope scope, ChatCall call, string digest, bool resumes, KeptRequest? kept) => new(
        scope.Info.TraceId, scope.Info.Owner, call.Dialect, scope.Record.Surface, call.Envelope.Model, call.Streams, time.GetUtcNow())
    {
        Digest = digest,
        Resumable = resumes,
        Request = kept,
        Linger = kept is { Terms.IsBackground: true } ? TimeSpan.MaxValue : resumes ? config().Linger : TimeSpan.Zero,
        Keep = resumes || kept is not null ? config().Keep : RetryWindow,
    };

    private ProxyError? Resumes(string? said, out bool resumes)
    {
        resumes = said is null ? config().Resume is "all" : said is "1" or "true";
        return said is null or "1" or "true" or "0" or "false"
            ? null
            : new(ProxyErrorKind.InvalidRequest, $"x-resume is '{ModelName.Shown(said)}'; it can be 1 or 0") { Param = "x-resume" };
    }

    /// <summary>The value is a structured field's string (RFC 8941), with or without its quotes.</summary>
    private static ProxyError? ReadKey(string sent, out string key)
    {
        key = sent.Trim();
        if (key.Length > 1 && key is ['"', .., '"'])
            key = key[1..^1].Replace("\\\"", "\"", StringComparison.Ordinal).Replace("\\\\", "\\", StringComparison.Ordinal);
        return key.Length is > 0 and <= LongestKey
            ? null
            : new(ProxyErrorKind.InvalidRequest, $"Idempotency-Key has {key.Length} characters; it must have 1 to {LongestKey}") { Param = "Idempotency-Key" };
    }
}
