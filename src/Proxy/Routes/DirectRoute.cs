using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// Answers from a backend. If client and host speak the same dialect, bytes are relayed; otherwise request and answer are translated by way of events.
/// </summary>
internal sealed class DirectRoute(
    BackendDirectory directory, BackendDispatcher dispatcher, RemoteImages images, PromptPrefixes prefixes, ILogger log, TimeProvider time) : IChatRoute
{
    /// <summary>
    /// A body of this many bytes is parsed in about a millisecond. A longer one is translated on the thread pool, because the event loop's other calls
    /// would have to wait for it.
    /// </summary>
    private const int LongBody = 64 << 10;

    public string Name => "direct";

    /// <summary>Takes calls without a workspace or a pipeline; other routes answer those.</summary>
    public bool Takes(in RoutedCall call) => call is { Workspace: null, Pipeline: null };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall routed, CancellationToken cancellation)
    {
        var call = routed.Call;
        // 1. Find the backends that serve the model.
        if (Resolve(routed, out var resolution) is { } unserved) return new ChatAnswer.Refused(unserved);
        // 2. If a long body has to be parsed, leave the event loop.
        if (call.OriginalBody is { Length: > LongBody } && NeedsParsing(call, resolution!))
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        // 3. Normalise values that agents change in every prompt.
        NormalisePrompt(call, resolution!);
        // 4. Measure how much of the prompt repeats an earlier one.
        prefixes.See(call);
        // 5. Answer requests that need no host.
        if (call.Envelope.Messages is null or 0 && WithoutHost(call, resolution!) is { } granted) return granted;
        // 6. Fetch the images that the host cannot fetch.
        ChatRequest? inlined = null;
        if (NamesImages(call, resolution!, out var named))
        {
            (inlined, var unreachable) = await images.FetchAsync(named!, cancellation);
            if (unreachable is not null) return new ChatAnswer.Refused(unreachable);
        }

        // 7. Send the call to one backend after another until a host answers.
        var result = await dispatcher.SendAsync(new Outgoing(call, inlined, log), routed.Model, resolution!, cancellation);
        // 8. Return its answer: bytes in the client's own dialect, events otherwise.
        return result switch
        {
            DispatchResult.Answered answered => Answer(routed, answered.Reply),
            DispatchResult.Echo echo => Answer(routed, echo, cancellation),
            DispatchResult.Failed failed => new ChatAnswer.Refused(failed.Error),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    /// <summary>
    /// The error for an unknown model. It is the same if the caller's key may not use the model, so that it does not reveal which models exist.
    /// </summary>
    public static ProxyError UnknownModel(string model) =>
        new(ProxyErrorKind.UnknownModel, $"no backend serves the model '{ModelName.Shown(model)}'; the models listing says what there is")
        {
            Param = "model",
            Model = ModelName.Shown(model),
        };

    private ProxyError? Resolve(in RoutedCall routed, out Resolution? resolution)
    {
        resolution = directory.Table.Resolve(routed.Model);
        if (resolution is null) return UnknownModel(routed.Model);
        return resolution.InProcess is null ? null : new(ProxyErrorKind.InvalidRequest,
            $"\"{ModelName.Shown(routed.Model)}\" does not support {routed.Call.Dialect.Verb}: it runs in this proxy, which embeds and reranks")
        {
            Param = "model",
        };
    }

    private static bool NeedsParsing(ChatCall call, Resolution resolution)
    {
        foreach (var candidate in resolution.Candidates)
        {
            if (candidate.IsEcho || candidate.Native(call.Dialect.Name) is null) return true;
        }

        return false;
    }

    private void NormalisePrompt(ChatCall call, Resolution resolution)
    {
        if (directory.Table.Config.Server.PrefixHygiene && call.OriginalBody is { } body && call.Dialect.NormalisePrompt(body.Span) is { Count: > 0 } edits
            && !resolution.Candidates.Any(static b => b.IsAnthropicsOwn)) call.Edits = edits;
    }

    /// <summary>
    /// The answer to a request that only a host of the client's dialect could carry out, if no backend of the model has such a host. Null otherwise.
    /// </summary>
    private static ChatAnswer.Events? WithoutHost(ChatCall call, Resolution resolution)
    {
        if (resolution.Candidates.Any(b => !b.IsEcho && b.Native(call.Dialect.Name) is not null)) return null;
        if (call.TryGetRequest(out var request) is not null || call.Dialect.AnswerElsewhere(request!) is not { } events) return null;
        return new(events.ToAsyncEnumerable(), resolution.Candidates[0].Name, resolution.Served) { Whole = true };
    }

    private bool NamesImages(ChatCall call, Resolution resolution, out ChatRequest? request)
    {
        request = null;
        return directory.Table.Config.Server.FetchImages && NeedsParsing(call, resolution)
            && call.TryGetRequest(out request) is null && RemoteImages.Any(request!);
    }

    private static ChatAnswer Answer(in RoutedCall routed, BackendReply reply)
    {
        var same = reply.Dialect!.Name == routed.Call.Dialect.Name;
        if (reply.Status >= 300) return same ? new ChatAnswer.Verbatim(reply) : Translated(reply);
        // A host may ignore `stream` and send a document instead of a stream, or the reverse; the answer is then converted, so that the client gets the form
        // that it asked for. Another proxy sends a document for a stream only if that is right, so its answer is not converted.
        if (same && routed.Sources is null && (reply.Streams == routed.Call.Streams || reply.FromProxy)) return new ChatAnswer.Verbatim(reply);
        return new ChatAnswer.Translated(reply) { Sources = routed.Sources };
    }

    private ChatAnswer Answer(in RoutedCall routed, DispatchResult.Echo echo, CancellationToken cancellation)
    {
        if (routed.Call.TryGetRequest(out var request) is { } problem)
        {
            echo.Lease.Dispose();
            return new ChatAnswer.Refused(problem);
        }

        var events = EchoBackend.AnswerAsync(request! with { Stream = routed.Call.Streams }, echo.Lease, time, cancellation);
        return new ChatAnswer.Events(
            routed.Sources is { } sources ? events.Prepend(new ChatEvent.SourcesFound(sources)) : events, echo.Lease.Backend.Name, echo.Served);
    }

    private static ChatAnswer.Refused Translated(BackendReply refusal)
    {
        using (refusal)
        {
            return new(refusal.Refusal!);
        }
    }

    /// <summary>Prepares the call for each backend that is tried.</summary>
    /// <param name="inlined">The request with its remote images fetched and inlined; null if none had to be fetched.</param>
    private sealed class Outgoing(ChatCall call, ChatRequest? inlined, ILogger log) : IDispatchable
    {
        public CallInfo Info => call.Info;
        public IReadOnlyList<KeyValuePair<string, string>> Headers => call.Headers;

        public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
        {
            outgoing = default;
            if (backend.Native(call.Dialect.Name) is { } own && call.OriginalBody is { } bytes)
            {
                var wish = call.Streams && backend.Config.StreamUsage ? own.AskUsage(bytes.Span, call.Envelope) : null;
                var name = served == call.Envelope.Model ? (BodyEdit?)null : new(call.Envelope.ModelSlice, ModelName.Json(served));
                outgoing = new OutgoingCall("POST", own.ChatPath, Spliced(bytes, name, wish, out var copy), "application/json", own, own, call.Streams, copy)
                {
                    UnaskedUsage = wish is not null,
                };
                return null;
            }

            if (call.TryGetRequest(out var request) is { } problem) return problem;
            if (backend.DialectFor(call.Dialect.Name, request!.Prompt is { Continues: true }) is not { } dialect)
                return new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' speaks no chat dialect of this proxy") { Backend = backend.Name };
            if (!dialect.TakesImageAddresses && inlined is not null) request = inlined;
            if (!dialect.TakesPrompts && request.Prompt?.UnsayableInChat() is { } prompt) return prompt;
            // An edited call may go to a host of the client's own dialect, which reports token counts in a stream only if asked.
            var unasked = call is { OriginalBody: null, Streams: true } && !request.IncludeUsage && backend.Config.StreamUsage;
            request = request with { Model = served, Stream = call.Streams, IncludeUsage = unasked || (request.IncludeUsage && backend.Config.StreamUsage) };
            var known = backend.Learned(served);
            if (dialect.Fit(ref request, new(backend.Config.Options.NumCtx, known?.ContextLength, known?.ContextLimit,
                known?.Traits.Capabilities.Contains("thinking") is true)) is { } tooLong) return tooLong;
            if (dialect.Unsayable(request) is { } unsayable) return unsayable;
            var body = new PooledBody();
            var lost = new List<string>();
            dialect.WriteRequest(request, served, body, lost);
            if (lost.Count > 0) log.FieldsLost(call.Info.TraceId, backend.Name, string.Join(", ", lost.Distinct()));
            outgoing = new("POST", dialect.ChatPath, new(body.Memory), "application/json", dialect, dialect, call.Streams, body) { UnaskedUsage = unasked };
            return null;
        }

        /// <summary>The client's own bytes with the edits applied. A single edit needs no copy; several do.</summary>
        private SplicedBody Spliced(ReadOnlyMemory<byte> bytes, BodyEdit? name, BodyEdit? wish, out PooledBody? copy)
        {
            copy = null;
            if (call.Edits.Count > 0)
                copy = BodyEdit.Apply(
                    [.. call.Edits.Concat(new[] { name, wish }.OfType<BodyEdit>()).OrderBy(static edit => edit.Place.Start.Value)], bytes.Span);
            else if (name is { } first && wish is { } second)
                copy = first.Place.Start.Value < second.Place.Start.Value
                    ? BodyEdit.Apply([first, second], bytes.Span)
                    : BodyEdit.Apply([second, first], bytes.Span);
            else return (name ?? wish) is { } only ? new(bytes[..only.Place.Start], only.Text, bytes[only.Place.End..]) : new(bytes);
            return new(copy.Memory);
        }
    }
}
