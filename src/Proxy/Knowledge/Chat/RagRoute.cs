using Proxy.Chat;
using Proxy.Knowledge.Search;
using Proxy.Routes;

namespace Proxy.Knowledge.Chat;

/// <summary>
/// Answers calls that name workspaces: finds passages for the user's last turn, puts them in front of that turn, and hands the call on. What the client sent
/// besides stays as it is, byte for byte where the host speaks the client's dialect.
/// </summary>
/// <param name="knowledge">Finds workspaces and searches them.</param>
/// <param name="callerOf">What the owner of a call may use.</param>
/// <param name="next">Answers the call.</param>
/// <param name="contextOf">The context of a model in tokens; null: unknown.</param>
/// <param name="metrics">Counts and times searches.</param>
internal sealed class RagRoute(
    WorkspaceAccess knowledge, Func<string, KnowledgeCaller> callerOf, IChatRoute next, Func<string, int?> contextOf, RagMetrics metrics) : IChatRoute
{
    /// <summary>The tokens that are left to an answer whose call does not limit it.</summary>
    private const int AnswerTokens = 1024;

    public string Name => "rag";

    /// <summary>Adds the stores of a tool that searches files. With <c>x-route: direct</c> the tool is the host's.</summary>
    public RoutedCall Read(in RoutedCall call)
    {
        if (call.Pipeline is not null || call.Call.Info.Route is "direct" || call.Call.OriginalBody is not { } body) return call;
        if (call.Call.Dialect.FindFileSearch(body.Span) is not { } search) return call;
        return call with { Workspace = string.Join(',', (call.Workspace is { } named ? [named] : (string[])[]).Concat(search.Stores)) };
    }

    /// <summary>Calls with workspaces, and calls that say how to search but not what: those are refused.</summary>
    public bool Takes(in RoutedCall call) => call.Pipeline is null && (call.Workspace ?? (object?)call.Call.Info.Wishes?.Rag) is not null;

    public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation)
    {
        if (call.Call.IsLongToParse) await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        var said = call.Call.Info.Wishes?.Rag;
        var tool = call.Call.OriginalBody is { } body ? call.Call.Dialect.FindFileSearch(body.Span) : null;
        if (RagOptions.Read(said, tool, out var options) is { } invalid) return new ChatAnswer.Refused(invalid);
        if (call.Workspace is null)
            return Refused(said!.First, $"{said.First} says how to search documents, but the call names no workspace; send x-workspace");
        try
        {
            var (workspaces, unknown) = await FindAsync(call, tool, cancellation).ConfigureAwait(false);
            if (unknown is not null) return new ChatAnswer.Refused(unknown);
            return await AnswerAsync(call, tool, options, workspaces, cancellation).ConfigureAwait(false);
        }
        catch (KnowledgeStoreException)
        {
            metrics.Count(SearchEnd.Failed);
            return new ChatAnswer.Refused(new(ProxyErrorKind.StoreFailed, "the database of documents cannot be read now; try again later"));
        }
    }

    private async ValueTask<ChatAnswer> AnswerAsync(
        RoutedCall call, FileSearch? tool, RagOptions options, IReadOnlyList<Workspace> workspaces, CancellationToken cancellation)
    {
        if (call.Call.TryGetRequest(out var request) is { } problem) return new ChatAnswer.Refused(problem);
        if (request!.Messages.Count == 0) return await next.AnswerAsync(call, cancellation).ConfigureAwait(false); // it loads the model
        if (tool is { IsForbidden: true })
            return await next.AnswerAsync(call with { Call = call.Call.EditedBytes(tool.Edits) }, cancellation).ConfigureAwait(false);
        if (request.Prompt?.NotOneText is not null)
            return Refused("prompt", "a call with documents takes one text as \"prompt\", not several and not token numbers");
        var query = ChatQuery.Of(request);
        if (query.Length == 0) return Refused("x-workspace", "the call asks for an answer from documents, but the user's last turn has no text to search for");
        if (RoomFor(call.Model, request) is not { } room) return new ChatAnswer.Refused(NoRoom);

        var (outcome, failure) = await SearchAsync(call.Call.Info, workspaces, options.Request(query), cancellation).ConfigureAwait(false);
        if (failure is not null) return new ChatAnswer.Refused(failure);
        var passages = PassageText.Of(outcome!.Hits, room);
        metrics.Count(passages.Sources.Count == 0 ? SearchEnd.None : SearchEnd.Some, passages.Sources.Count);
        return await next.AnswerAsync(
            Grounded(call, tool, request, passages) with
            {
                Sources = passages.Sources,
                Search = new SearchNote([query])
                {
                    Trace = options.Trace && outcome.Trace is { } trace ? RagTrace.Of(query, trace, outcome.LexicalOnly) : null,
                },
            },
            cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// The workspaces of the header or of the model's name, and those of the tool. Each is checked under the name of what named it.
    /// </summary>
    private async ValueTask<(IReadOnlyList<Workspace> Found, ProxyError? Error)> FindAsync(RoutedCall call, FileSearch? tool, CancellationToken cancellation)
    {
        var caller = callerOf(call.Call.Info.Owner);
        var found = new List<Workspace>();
        if (RouteTable.Split(call.Call).Workspace is { } named)
        {
            var param = call.Call.Info.Workspace is null ? "model" : "x-workspace";
            var names = named.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            if (names.Length == 0) return ([], new(ProxyErrorKind.InvalidRequest, $"\"{param}\" names no workspace") { Param = param });
            var (some, error) = await knowledge.FindAsync(caller, names, param, cancellation).ConfigureAwait(false);
            if (error is not null) return ([], error);
            found.AddRange(some);
        }

        if (tool is null) return (found, null);
        var (more, unknown) = await knowledge.FindAsync(caller, tool.Stores, $"{tool.Place}.vector_store_ids", cancellation).ConfigureAwait(false);
        return unknown is not null ? ([], unknown) : ([.. found.UnionBy(more, static workspace => workspace.Id)], null);
    }

    private async ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
        CallInfo info, IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation)
    {
        var began = metrics.Begin();
        using var span = info.Span.Begin("retrieve");
        var result = await knowledge.SearchAsync(workspaces, request with { Span = span }, cancellation).ConfigureAwait(false);
        metrics.Searched(began);
        span.Set("proxy.passages", result.Outcome?.Hits.Count);
        if (result.Error is not { } error) return result;
        metrics.Count(SearchEnd.Failed);
        span.Fail(ProxyErrorTable.Of(error.Kind).Code);
        return result;
    }

    /// <summary>
    /// The tokens for passages: at most <see cref="PassageText.MostTokens"/>, and half of what the conversation and its answer leave of the model's context.
    /// Null if that is too little.
    /// </summary>
    private int? RoomFor(string model, ChatRequest request)
    {
        if ((request.Sampling.ContextLength ?? contextOf(model)) is not { } context) return PassageText.MostTokens;
        var answer = request.Sampling.MaxTokens is { } asked and >= 0 ? Math.Min(asked, context / 2) : Math.Min(AnswerTokens, context / 4);
        var half = (context - PromptSize.Of(request).Most - answer) / 2;
        return half < PassageText.LeastTokens ? null : (int)Math.Min(half, PassageText.MostTokens);
    }

    /// <summary>
    /// The call with the passages: an edit of the client's bytes if their form allows it, else the request with another last turn. Either way the host does not
    /// get a tool that the proxy carried out.
    /// </summary>
    private static RoutedCall Grounded(in RoutedCall call, FileSearch? tool, ChatRequest request, PassageText passages)
    {
        IReadOnlyList<BodyEdit> edits = tool?.Edits ?? [];
        if (call.Call.OriginalBody is { } body && call.Call.Dialect.PutBeforeLastTurn(body.Span, passages.Text) is { } edit)
            return call with { Call = call.Call.EditedBytes([.. edits.Append(edit).OrderBy(static one => one.Place.Start.Value)]) };
        if (edits.Count > 0 && call.Call.EditedBytes(edits).TryGetRequest(out var toolless) is null) request = toolless!;
        var turn = request.Messages.Count - 1;
        while (turn > 0 && !ChatQuery.IsTurn(request.Messages[turn])) turn--;
        ChatMessage[] messages = [.. request.Messages];
        messages[turn] = messages[turn] with { Content = [new ContentPart.Text(passages.Text), .. messages[turn].Content] };
        return call.Edited(request with { Messages = messages });
    }

    private static ProxyError NoRoom => new(ProxyErrorKind.ContextLengthExceeded,
        "the conversation leaves no room for passages of documents in the model's context; send fewer messages or use a model with a larger context")
    {
        Param = "messages",
    };

    private static ChatAnswer.Refused Refused(string param, string message) => new(new ProxyError(ProxyErrorKind.InvalidRequest, message) { Param = param });
}
