using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>Answers from a backend. Bytes stay bytes when both ends speak one dialect; otherwise both sides meet in events.</summary>
internal sealed class DirectRoute(
    BackendDirectory directory, BackendDispatcher dispatcher, RemoteImages images, PromptPrefixes prefixes, ILogger log, TimeProvider time) : IChatRoute
{
    public string Name => "direct";

    /// <summary>Only calls that ask for no workspace and no pipeline.</summary>
    public bool Takes(in RoutedCall call) => call is { Workspace: null, Pipeline: null };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ChatAnswer> AnswerAsync(RoutedCall routed, CancellationToken cancellation)
    {
        var call = routed.Call;
        // 1. Find the backends that serve the model.
        if (Resolve(routed, out var resolution) is { } unserved) return new ChatAnswer.Refused(unserved);
        // 2. Leave the event loop if a long body has to be parsed.
        if (IsLongToParse(call, resolution!)) await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        // 3. Blank the values that agents change in every prompt.
        NormalisePrompt(call, resolution!);
        // 4. Measure how much of the prompt begins like an earlier one.
        prefixes.See(call);
        // 5. Answer a request to load or unload a model that has no such host.
        if (call.Envelope.Messages is null or 0 && WithoutHost(call, resolution!) is { } granted) return granted;
        // 6. Fetch the images that a host cannot fetch.
        ChatRequest? inlined = null;
        if (NamesImages(call, resolution!, out var named))
        {
            (inlined, var unreachable) = await images.FetchAsync(named!, cancellation);
            if (unreachable is not null) return new ChatAnswer.Refused(unreachable);
        }

        // 7. Send the call to the backends until one answers.
        var result = await dispatcher.SendAsync(new Outgoing(call, inlined, log), routed.Model, resolution!, cancellation);
        // 8. Pass the reply on as bytes, or translate it.
        return result switch
        {
            DispatchResult.Answered answered => Answer(routed, answered.Reply),
            DispatchResult.Echo echo => Answer(routed, echo, cancellation),
            DispatchResult.Failed failed => new ChatAnswer.Refused(failed.Error),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    /// <summary>The same words whether the model does not exist or is not for this caller.</summary>
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
        if (resolution.InProcess is null) return null;
        var (model, verb) = (ModelName.Shown(routed.Model), routed.Call.Dialect.Verb);
        return new(ProxyErrorKind.InvalidRequest, $"\"{model}\" does not support {verb}: it runs in this proxy, which embeds and reranks") { Param = "model" };
    }

    private static bool IsLongToParse(ChatCall call, Resolution resolution) => call.IsLongToParse && NeedsParsing(call, resolution);

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
        if (!directory.Table.Config.Server.PrefixHygiene || call.OriginalBody is not { } body) return;
        if (call.Dialect.NormalisePrompt(body.Span) is not { Count: > 0 } edits || resolution.Candidates.Any(static b => b.IsAnthropicsOwn)) return;
        call.Edits = call.Edits.Count == 0 ? edits : [.. call.Edits.Concat(edits).OrderBy(static edit => edit.Place.Start.Value)];
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
        if (reply.Status >= 300) return same ? new ChatAnswer.Verbatim(reply) : RefusedBy(reply);
        // Some hosts ignore `stream`; their reply is translated into what the client asked for. A proxy sends a document only where one is right.
        if (same && routed.Sources is null && (reply.Streams == routed.Call.Streams || reply.FromProxy)) return new ChatAnswer.Verbatim(reply);
        return new ChatAnswer.Translated(reply) { Sources = routed.Sources, Search = routed.Search };
    }

    private ChatAnswer Answer(in RoutedCall routed, DispatchResult.Echo echo, CancellationToken cancellation)
    {
        if (routed.Call.TryGetRequest(out var request) is { } problem)
        {
            echo.Lease.Dispose();
            return new ChatAnswer.Refused(problem);
        }

        var events = EchoBackend.AnswerAsync(request! with { Stream = routed.Call.Streams }, echo.Lease, time, cancellation);
        return new ChatAnswer.Events(events, echo.Lease.Backend.Name, echo.Served) { Sources = routed.Sources, Search = routed.Search };
    }

    private static ChatAnswer.Refused RefusedBy(BackendReply refusal)
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
                var envelope = call.Envelope;
                if (call.Remembered is { } shorter && shorter.Backend == backend.Name) (bytes, envelope) = (shorter.Bytes, shorter.Envelope);
                var wish = call.Streams && backend.Config.StreamUsage ? own.AskUsage(bytes.Span, envelope) : null;
                var name = served == envelope.Model ? (BodyEdit?)null : new(envelope.ModelSlice, ModelName.Json(served));
                outgoing = new OutgoingCall("POST", own.ChatPath, Spliced(bytes, name, wish, out var copy), "application/json", own, own, call.Streams, copy)
                {
                    UnaskedUsage = wish is not null,
                };
                return null;
            }

            if (call.TryGetRequest(out var request) is { } problem) return problem;
            if (backend.DialectFor(call.Dialect.Name, request!.Prompt is { Continues: true }) is not { } dialect)
                return new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' does not chat in any dialect that this proxy can speak")
                {
                    Backend = backend.Name,
                };
            if (!dialect.TakesImageAddresses && inlined is not null) request = inlined;
            if (!dialect.TakesPrompts && request.Prompt?.UnsayableInChat() is { } prompt) return prompt;
            // Without its original bytes a call may still go to a host of the client's dialect, which counts the tokens of a stream only if asked.
            var unasked = call is { OriginalBody: null, Streams: true } && !request.IncludeUsage && backend.Config.StreamUsage;
            request = request with { Model = served, Stream = call.Streams, IncludeUsage = unasked || (request.IncludeUsage && backend.Config.StreamUsage) };
            var known = backend.Learned(served);
            var thinks = known?.Traits.Capabilities.Contains("thinking") is true;
            var facts = new HostModelFacts(backend.Config.Options.NumCtx, known?.ContextLength, known?.ContextLimit, thinks);
            if ((dialect.Fit(ref request, facts) ?? dialect.Unsayable(request)) is { } unfit) return unfit;
            var body = new PooledBody();
            var lost = new List<string>();
            dialect.WriteRequest(request, served, body, lost);
            if (lost.Count > 0) log.FieldsLost(call.Info.TraceId, backend.Name, string.Join(", ", lost.Distinct()));
            outgoing = new("POST", dialect.ChatPath, new(body.Memory), "application/json", dialect, dialect, call.Streams, body) { UnaskedUsage = unasked };
            return null;
        }

        /// <summary>The client's bytes with the edits. Several edits are made in a copy.</summary>
        private SplicedBody Spliced(ReadOnlyMemory<byte> bytes, BodyEdit? name, BodyEdit? wish, out PooledBody? copy)
        {
            copy = null;
            if (call.Edits.Count == 0 && (name is null || wish is null))
                return (name ?? wish) is { } only ? new(bytes[..only.Place.Start], only.Text, bytes[only.Place.End..]) : new(bytes);
            var (first, second) = (name ?? default, wish ?? default); // an empty edit changes nothing
            if (second.Place.Start.Value < first.Place.Start.Value) (first, second) = (second, first);
            copy = call.Edits.Count == 0
                ? BodyEdit.Apply([first, second], bytes.Span)
                : BodyEdit.Apply([.. call.Edits.Append(first).Append(second).OrderBy(static edit => edit.Place.Start.Value)], bytes.Span);
            return new(copy.Memory);
        }
    }
}
