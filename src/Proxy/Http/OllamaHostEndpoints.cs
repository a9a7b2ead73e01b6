using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OllamaChat;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// Ollama's endpoints for models: they describe a model, and pull, push, create, copy and delete models. A description is answered for the models of every kind
/// of host. A change to a host's disk goes to the Ollama host of the model; if there is none, it is refused.
/// </summary>
internal sealed class OllamaHostEndpoints(ModelCatalog catalog, BackendDirectory directory, BackendDispatcher dispatcher, ClientDialect dialect,
    BackendDialect hostDialect, ExchangeParts parts)
{
    public const string Blobs = "/api/blobs/";

    private const string NotHere = "needs an Ollama host";

    /// <summary>Describes a model: an Ollama host answers itself; for a model of another host, writes what is known about it in Ollama's form.</summary>
    public Task ShowAsync(HttpContext context) => new HandlerExchange("/api/show", dialect, parts, async (scope, body) =>
    {
        using var held = body;
        if (OllamaShow.Read(body.Memory, out var asked) is { } problem) return problem;

        scope.Record.Model = ModelName.Shown(asked.Model);
        asked = asked with { Model = await catalog.ModelOfAsync(asked.Model, scope.Info.Owner) };
        if (!scope.Caller.MayUse(asked.Model) || await catalog.FindAsync(asked.Model) is not { } model) return Unknown(asked.Model);
        if (directory.Table.Resolve(asked.Model) is { } resolution && Teller(resolution, scope.Info.Via) is { } backend)
        {
            var question = new PooledBody(256);
            OllamaShow.WriteRequest(asked, resolution.Served, question);
            return await PassAsync(scope, backend, resolution.Served, NewQuestion(scope, "/api/show", question));
        }

        using var answer = new PooledBody();
        OllamaShow.Write(model, answer);
        await Exchange.WriteAsync(scope, dialect.WholeContentType, answer);
        return null;
    }).HandleAsync(context);

    /// <summary>Pull, push, create, delete: the body names the model.</summary>
    public Task ManageAsync(HttpContext context) => ChangeAsync(context, "model", "name");

    /// <summary>The model that is copied determines the host.</summary>
    public Task CopyAsync(HttpContext context) => ChangeAsync(context, "source");

    /// <summary>A blob does not belong to a model yet, so it goes to the Ollama host if there is exactly one.</summary>
    public Task BlobAsync(HttpContext context)
    {
        var backend = OnlyOllama(directory.Table);
        return new HandlerExchange(Blobs + "*", dialect, parts, (scope, body) => PassAsync(scope, backend!, "",
            NewQuestion(scope, context.Request.Path.ToUriComponent(), body) with { ContentType = context.Request.ContentType }))
        {
            Refuses = scope => MayChange(scope) ?? (backend is null ? NotImplemented(context) : null),
        }.HandleAsync(context);
    }

    private Task ChangeAsync(HttpContext context, params string[] naming) =>
        new HandlerExchange(context.Request.Path.Value!.TrimEnd('/'), dialect, parts, async (scope, body) =>
        {
            using var held = body;
            if (OllamaShow.ReadObject(body.Memory, out var root) is { } problem) return problem;
            if (naming.Select(member => (Member: member, Name: OllamaShow.Text(root, member))).FirstOrDefault(found => found.Name is not null)
                is not { Name: { } asked } named)
                return new(ProxyErrorKind.InvalidRequest, $"{naming[0]} is required") { Param = naming[0] };

            if (ModelName.Refusal(asked, named.Member) is { } tooLong) return tooLong;
            scope.Record.Model = ModelName.Shown(asked);
            var table = directory.Table;
            var (backend, served) = table.Resolve(asked) is { } resolution
                ? (resolution.Candidates.FirstOrDefault(IsHost) ?? resolution.Candidates.FirstOrDefault(b => b.IsOllama), resolution.Served)
                : (OnlyOllama(table), asked);
            if (backend is null) return NotImplemented(context);

            var request = new PooledBody(body.Length + 64);
            Renamed(root, named.Member, served, request);
            var refused = await PassAsync(scope, backend, served, NewQuestion(scope, context.Request.Path.Value!.TrimEnd('/'), request));
            // A client that has pulled a model will use it next. So the proxy asks the host for its models again before it ends the client's stream.
            if (refused is null && context.Response.StatusCode < 300) await catalog.AskAgainAsync(backend, scope.Cancellation);
            return refused;
        }) { Refuses = MayChange }.HandleAsync(context);

    /// <summary>Asks one host and forwards its answer as it arrives, a stream piece by piece.</summary>
    private async ValueTask<ProxyError?> PassAsync(CallScope scope, Backend backend, string served, Question question)
    {
        if (scope.Enter() is { } limited)
        {
            question.Owned.Dispose();
            return limited;
        }

        scope.Record.Route = "direct";
        switch (await dispatcher.AskAsync(question, backend, served, scope.Cancellation))
        {
            case DispatchResult.Failed failed:
                return failed.Error;
            case DispatchResult.Answered { Reply: var reply }:
                scope.Answering(reply);
                if (reply.Complete)
                {
                    await VerbatimWriter.WriteWholeAsync(scope, reply, reply.Held, reply.ServedModel, hostDialect);
                    return null;
                }

                if (await VerbatimWriter.CopyAsync(scope, reply) is not { } cut) return null;
                scope.Judge(cut);
                scope.Context.Abort(); // a truncated body must not look complete
                return null;
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    private static ProxyError? MayChange(CallScope scope) => scope.MayManage ? null : new(ProxyErrorKind.Forbidden, scope.Caller.IsAnonymous
        ? "from another machine, a change to the hosts' models needs an API key"
        : "this key is limited to some models, so it may not change the hosts' models");

    /// <summary>
    /// The backend that describes a model: its Ollama host, or else a proxy that has the model, if the call may be forwarded to it. Null: we answer with what
    /// we know.
    /// </summary>
    private Backend? Teller(Resolution resolution, string? via)
    {
        var open = ProxyWays.Open(resolution, via, directory.Identity);
        return open.FirstOrDefault(IsHost) ?? (open is [{ IsProxy: true, IsOllama: true } proxy, ..] ? proxy : null);
    }

    /// <summary>The Ollama host, if there is exactly one. If there is none: the proxy, if there is exactly one, because it may have an Ollama host.</summary>
    private static Backend? OnlyOllama(BackendTable table)
    {
        var all = table.All.Where(b => b.IsOllama).ToArray();
        return all.Where(IsHost).Take(2).ToArray() is [_, ..] hosts ? hosts is [var host] ? host : null : all is [var proxy] ? proxy : null;
    }

    private static bool IsHost(Backend backend) => backend.IsOllama && !backend.IsProxy;

    private static ProxyError NotImplemented(HttpContext context) =>
        new(ProxyErrorKind.NotImplemented, $"{context.Request.Path} {NotHere}, and this request does not identify a single one");

    /// <summary>In this error, Ollama's message names the tag too.</summary>
    private static ProxyError Unknown(string model)
    {
        var error = DirectRoute.UnknownModel(model);
        return model[(model.LastIndexOf('/') + 1)..].Contains(':', StringComparison.Ordinal) ? error : error with { Model = error.Model + ModelName.Latest };
    }

    /// <summary>
    /// Writes the body with one name replaced. It is rewritten, so that duplicate keys cannot make the host act on the one that we did not check.
    /// </summary>
    private static void Renamed(JsonElement root, string member, string name, PooledBody output)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString(member, name);
        var seen = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { member };
        if (member is "model" or "name") seen.UnionWith(["model", "name"]);
        foreach (var other in root.EnumerateObject())
        {
            if (seen.Add(other.Name)) json.WriteAsItCame(other.Name, other.Value);
        }

        json.WriteEndObject();
    }

    private Question NewQuestion(CallScope scope, string path, PooledBody body) => new(scope.Info, body, scope.CrossingHeaders, hostDialect)
    {
        Method = scope.Context.Request.Method,
        Path = path
    };

    private sealed record Question(CallInfo Info, PooledBody Owned, IReadOnlyList<KeyValuePair<string, string>> Headers, BackendDialect Errors) : IDispatchable
    {
        public required string Method { get; init; }
        public required string Path { get; init; }
        public string? ContentType { get; init; } = "application/json";

        public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
        {
            outgoing = new(Method, Path, new(Owned.Memory), ContentType, null, Errors, Streams: false, Owned) { Patient = true };
            return null;
        }
    }
}
