using System.Runtime.CompilerServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>Answers from a backend. Bytes stay bytes when both ends speak one dialect; otherwise both sides meet in events.</summary>
internal sealed class DirectRoute(BackendDirectory directory, BackendDispatcher dispatcher, RemoteImages images, PromptPrefixes prefixes, ILogger log, TimeProvider time) : IChatRoute
{
    /// <summary>Bytes of a body that are parsed in about a millisecond. A longer one is read and said anew off the event loop, whose other calls would have to wait for it.</summary>
    private const int LongBody = 64 << 10;

    public string Name => "direct";

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<ChatAnswer> AnswerAsync(ChatCall call, CancellationToken cancellation)
    {
        var table = directory.Table;
        var model = call.Envelope.Model;
        if (table.Resolve(model) is not { } resolution) return new ChatAnswer.Refused(UnknownModel(model));
        if (resolution.InProcess is not null) return new ChatAnswer.Refused(OnlyVectors(call.Dialect.Name, model));

        if (call.OriginalBody is { Length: > LongBody } && NeedsParsing(call, resolution)) await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        var server = table.Config.Server;
        if (server.PrefixHygiene && call.Dialect.Name is DialectName.Anthropic && !resolution.Candidates.Any(static b => b.IsAnthropicsOwn)) call.NormalisePrompt();
        prefixes.See(call);
        if (call.Envelope.Messages is null or 0 && WithoutHost(call, resolution) is { } granted) return granted;
        ChatRequest? inlined = null;
        if (server.FetchImages && NeedsParsing(call, resolution) && call.TryGetRequest(out var parsed) is null && RemoteImages.Any(parsed!))
        {
            (inlined, var unreachable) = await images.FetchAsync(parsed!, cancellation);
            if (unreachable is not null) return new ChatAnswer.Refused(unreachable);
        }

        switch (await dispatcher.SendAsync(new Outgoing(call, inlined, log), model, resolution, cancellation))
        {
            case DispatchResult.Failed failed:
                return new ChatAnswer.Refused(failed.Error);
            case DispatchResult.Echo echo:
                if (call.TryGetRequest(out var request) is { } problem)
                {
                    echo.Lease.Dispose();
                    return new ChatAnswer.Refused(problem);
                }

                return new ChatAnswer.Events(EchoBackend.AnswerAsync(request! with { Stream = call.Streams }, echo.Lease, time, cancellation), echo.Lease.Backend.Name, echo.Served);
            case DispatchResult.Answered { Reply: var reply }:
                var same = reply.Dialect!.Name == call.Dialect.Name;
                if (reply.Status >= 300) return same ? new ChatAnswer.Verbatim(reply) : Translated(reply);
                // A host that ignores what stream says sends one document, or a stream: its client gets what it asked for all the same. A proxy knows when one document is right.
                return same && (reply.Streams == call.Streams || reply.FromProxy)
                    ? new ChatAnswer.Verbatim(reply)
                    : new ChatAnswer.Translated(reply);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>The same words whether the model does not exist or is not for this caller.</summary>
    public static ProxyError UnknownModel(string model) => new(ProxyErrorKind.UnknownModel, $"no backend serves the model '{ModelName.Shown(model)}'; the models listing says what there is") { Param = "model", Model = ModelName.Shown(model) };

    private static bool NeedsParsing(ChatCall call, Resolution resolution)
    {
        foreach (var candidate in resolution.Candidates)
        {
            if (candidate.IsEcho || candidate.Native(call.Dialect.Name) is null) return true;
        }

        return false;
    }

    /// <summary>A model in this process was asked for what only a host does.</summary>
    private static ProxyError OnlyVectors(DialectName dialect, string model)
    {
        var asked = dialect switch { DialectName.OllamaGenerate => "generate", DialectName.OpenAiCompletions => "completions", DialectName.OpenAiResponses => "responses", _ => "chat" };
        return new(ProxyErrorKind.InvalidRequest, $"\"{ModelName.Shown(model)}\" does not support {asked}: it runs in this proxy, which embeds and reranks") { Param = "model" };
    }

    /// <summary>What only a host of the client's dialect could do, where none of those that serve the model is one.</summary>
    private static ChatAnswer.Events? WithoutHost(ChatCall call, Resolution resolution)
    {
        if (resolution.Candidates.Any(b => !b.IsEcho && b.Native(call.Dialect.Name) is not null)) return null;
        if (call.TryGetRequest(out var request) is not null || call.Dialect.AnswerElsewhere(request!) is not { } events) return null;
        return new(events.ToAsyncEnumerable(), resolution.Candidates[0].Name, resolution.Served) { Whole = true };
    }

    private static ChatAnswer.Refused Translated(BackendReply refusal)
    {
        using (refusal)
        {
            return new(refusal.Refusal!);
        }
    }

    /// <summary>The call as each backend is to get it.</summary>
    /// <param name="inlined">The request with the images that it names by address inside it, where that was asked for.</param>
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
                outgoing = new OutgoingCall("POST", own.ChatPath, Spliced(bytes, name, wish, out var copy), "application/json", own, own, call.Streams, copy) { UnaskedUsage = wish is not null };
                return null;
            }

            if (call.TryGetRequest(out var request) is { } problem) return problem;
            if (backend.DialectFor(call.Dialect.Name, request!.Prompt is { Continues: true }) is not { } dialect)
                return new(ProxyErrorKind.NotImplemented, $"backend '{backend.Name}' does not chat in any dialect that this proxy can speak") { Backend = backend.Name };
            if (!dialect.TakesImageAddresses && inlined is not null) request = inlined;
            if (!dialect.TakesPrompts && request.Prompt?.UnsayableInChat() is { } prompt) return prompt;
            request = request with { Model = served, Stream = call.Streams, IncludeUsage = request.IncludeUsage && backend.Config.StreamUsage };
            if (dialect.Name is DialectName.OllamaChat or DialectName.OllamaGenerate)
            {
                var known = backend.Learned(served);
                if (ContextWindow.Choose(request, backend.Config.Options.NumCtx, known?.ContextLength, known?.ContextLimit, out var context) is { } tooLong) return tooLong;
                request = request with { Sampling = request.Sampling with { ContextLength = context }, ModelThinks = known?.Traits.Capabilities.Contains("thinking") is true };
            }

            if (dialect.Unsayable(request) is { } unsayable) return unsayable;
            var body = new PooledBody();
            var lost = new List<string>();
            dialect.WriteRequest(request, served, body, lost);
            if (lost.Count > 0) log.FieldsLost(call.Info.TraceId, backend.Name, string.Join(", ", lost.Distinct()));
            outgoing = new("POST", dialect.ChatPath, new(body.Memory), "application/json", dialect, dialect, call.Streams, body);
            return null;
        }

        /// <summary>The client's own bytes with up to two edits, the second of which takes a copy.</summary>
        private static SplicedBody Spliced(ReadOnlyMemory<byte> bytes, BodyEdit? name, BodyEdit? wish, out PooledBody? copy)
        {
            copy = null;
            if ((name ?? wish) is not { } first) return new(bytes);
            if (name is null || wish is not { } second) return new(bytes[..first.Place.Start], first.Text, bytes[first.Place.End..]);

            if (second.Place.Start.Value < first.Place.Start.Value) (first, second) = (second, first);
            copy = new PooledBody(bytes.Length + first.Text.Length + second.Text.Length);
            copy.Write(bytes[..first.Place.Start].Span);
            copy.Write(first.Text.Span);
            copy.Write(bytes[first.Place.End..second.Place.Start].Span);
            copy.Write(second.Text.Span);
            copy.Write(bytes[second.Place.End..].Span);
            return new(copy.Memory);
        }
    }
}
