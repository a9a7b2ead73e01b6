using System.Buffers;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects.OpenAiResponses;
using Proxy.Streams;

namespace Proxy.Http.Responses;

/// <summary>The conversation that an earlier response ends.</summary>
/// <param name="Items">The items of its input and output, separated by commas.</param>
/// <param name="Count">The number of items.</param>
/// <param name="Backend">The backend that remembers the conversation under the id that was asked for; null: none does.</param>
internal sealed record EarlierConversation(ReadOnlyMemory<byte> Items, int Count, string? Backend);

/// <summary>Finds responses that were kept: in memory, and in the store if there is one. Another owner's are not found.</summary>
internal sealed class KeptResponses(JournalTable journals, Func<ProxyConfig> config, Func<IRecordStore?> store, ILogger log, TimeProvider time)
{
    private const string Prefix = "resp_";

    public static readonly OpenAiResponsesClientDialect Dialect = new();

    public JournalTable Journals => journals;

    public IRecordStore? Store => store();

    public ILogger Log => log;

    public DateTimeOffset Now => time.GetUtcNow();

    /// <summary>A response whose call does not say whether it is kept is kept.</summary>
    public bool KeepsByDefault => Store is not null;

    /// <summary>Every answer can be resumed, unless its call says no.</summary>
    public bool ResumesAll => config().Streams.Resume is "all";

    /// <summary>How long the store keeps a response.</summary>
    public TimeSpan StoredFor => (config().Store ?? new StoreConfig { Kind = "" }).ResponsesTtl;

    public static string NameOf(string traceId) => Prefix + traceId;

    /// <summary>Finds a response.</summary>
    /// <returns>The response, or why there is none.</returns>
    public async ValueTask<(AnswerJournal? Found, ProxyError? Problem)> FindAsync(CallScope scope, string id)
    {
        var owner = scope.Info.Owner;
        if (journals.FindNamed(id, owner, out var isGone) is { } journal) return (journal, null);
        try
        {
            if (Store is { } there && await FindRowAsync(there, owner, id, scope.Cancellation) is { } row
                && StoredResponse.Restore(row, journals, config().Streams.Keep) is { } restored) return (restored, null);
        }
        catch (StoreException problem)
        {
            log.StoreUnreadable(problem.Message);
            return (null, new(ProxyErrorKind.StoreFailed, "the store that keeps responses cannot be read now; try again later"));
        }

        return (null, isGone ? Gone(id) : NotFound(id));
    }

    /// <summary>Deletes a response, and cancels it if it is being generated. False: there is none.</summary>
    public async ValueTask<bool> DeleteAsync(CallScope scope, string id, Action<AnswerJournal> cancel)
    {
        var owner = scope.Info.Owner;
        var journal = journals.FindNamed(id, owner, out _);
        if (journal is not null)
        {
            journals.Remove(journal); // first, so that its end does not store it
            if (!journal.IsOver) cancel(journal);
        }

        var isStored = false;
        if (Store is { } there)
        {
            var traceId = journal?.Origin.TraceId ?? (await FindRowAsync(there, owner, id, scope.Cancellation))?.TraceId;
            isStored = traceId is not null && await there.DeleteAnswerAsync(owner, traceId, scope.Cancellation);
        }

        return journal is not null || isStored;
    }

    /// <summary>The conversation that the response with that id ends, or why a call cannot continue it.</summary>
    public async ValueTask<(EarlierConversation? Earlier, ProxyError? Problem)> ContinueAsync(CallScope scope, string id)
    {
        var (journal, problem) = await FindAsync(scope, id);
        if (problem is { Kind: ProxyErrorKind.StoreFailed }) return (null, problem);
        if (journal?.Origin.Request is not { Terms.IsStored: true } request) return (null, Unknown(id, "is not kept"));
        if (!journal.IsOver)
            return (null, new(ProxyErrorKind.InvalidRequest, $"the response {ModelName.Shown(id)} is still in progress") { Param = "previous_response_id" });
        if (ResponseState.EndOf(journal) is not { Status: "completed" }) return (null, Unknown(id, "did not complete"));

        var snapshot = ResponseState.Fold(journal);
        var items = new ArrayBufferWriter<byte>(request.Body.Length + 1024);
        var count = new ResponseInputItems(request.Body, 0, journal.Origin.TraceId).WriteAsTheyCame(items);
        using var output = new PooledBody();
        var written = snapshot.WriteOutput(output, searches: journal.Head is { Verbatim: true });
        if (count > 0 && written > 0) items.Write(","u8);
        items.Write(output.Span);
        var remembers = journal.Head is { Verbatim: true, Dialect.Name: DialectName.OpenAiResponses } && snapshot is { IsStored: true } && snapshot.Id == id;
        return (new(items.WrittenMemory, count + written, remembers ? journal.Head!.Backend : null), null);
    }

    public static ProxyError NotFound(string id) =>
        new(ProxyErrorKind.UnknownPath, $"no response with the id {ModelName.Shown(id)} is kept: it is unknown, was deleted, or its call did not ask "
            + "to keep it (\"store\": true, \"background\": true or x-resume: 1)") { Code = "response_not_found" };

    public static ProxyError Gone(string id) => new(ProxyErrorKind.StreamExpired,
        $"the response {ModelName.Shown(id)} is not kept any more; [streams] keep and memory say for how long responses are kept");

    private static ProxyError Unknown(string id, string why) => new(ProxyErrorKind.UnknownPreviousResponse,
        $"the response {ModelName.Shown(id)} {why}, so it cannot be continued; send the whole conversation as \"input\"") { Param = "previous_response_id" };

    private static async ValueTask<AnswerRow?> FindRowAsync(IRecordStore there, string owner, string id, CancellationToken cancellation)
    {
        var row = id.StartsWith(Prefix, StringComparison.Ordinal) ? await there.FindAnswerAsync(owner, id[Prefix.Length..], cancellation) : null;
        return row ?? await there.FindAnswerAsync(owner, id, cancellation);
    }
}
