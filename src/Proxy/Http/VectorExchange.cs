using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;
using Proxy.Routes;
using Proxy.Telemetry;
using Proxy.Vectors;

namespace Proxy.Http;

/// <summary>What the exchanges of vectors and scores are made of.</summary>
internal sealed record VectorParts(BackendDirectory Directory, BackendDispatcher Dispatcher, ExchangeParts Exchange, string Version);

/// <summary>
/// One call that is answered with vectors or scores: let the caller in, read the body, find the model and who serves it. Bytes that need no change stay bytes, as with chats.
/// </summary>
internal abstract class VectorExchange(string surface, ErrorDialect errors, VectorParts parts)
{
    /// <summary>How a host's refusal is read, whatever it speaks.</summary>
    protected static readonly BackendDialect HostErrors = new OpenAiChatBackendDialect();

    protected VectorParts Parts => parts;

    /// <summary>The path that is answered, however the client's URL wrote it.</summary>
    protected string Surface => surface;

    public async Task HandleAsync(HttpContext context)
    {
        using var scope = CallScope.Begin(context, surface, errors, parts.Exchange);
        PooledBody? body = null;
        try
        {
            var problem = scope.Admit();
            if (problem is null) (body, problem) = await RequestBody.ReadAsync(context.Request, parts.Exchange.Server().BodyLimit, scope.Cancellation);
            ChatEnvelope? envelope = null;
            if (problem is null)
            {
                scope.Dialect = Settle(body!.Span);
                if (EnvelopePeek.Read(body.Span, out envelope, modelOptional: !NeedsModel) is { } broken) problem = Unreadable(scope, broken);
            }

            string? model = null;
            problem ??= Choose(scope, envelope!, out model);
            problem ??= scope.Use(model!) ?? RouteTable.Refusal(scope.Info, model!);
            Resolution? resolution = null;
            if (problem is null && (resolution = parts.Directory.Table.Resolve(model!)) is null) problem = DirectRoute.UnknownModel(model!);
            if (problem is not null)
            {
                await scope.RefuseAsync(problem);
                return;
            }

            scope.Record.Route = "direct";
            var call = new VectorCall(scope, body!, envelope!, model!, resolution!);
            if (resolution!.InProcess is { } here) await AnswerHereAsync(call, here);
            else await AnswerFromHostAsync(call);
        }
        catch (Exception problem) // whatever it is, the client gets an error in its dialect and the log gets the reason
        {
            await scope.FailAsync(problem);
        }
        finally
        {
            body?.Dispose();
        }
    }

    protected virtual bool NeedsModel => true;

    /// <summary>The dialect of a call, where its path has more than one.</summary>
    protected virtual ErrorDialect Settle(ReadOnlySpan<byte> body) => errors;

    protected virtual ProxyError Unreadable(CallScope scope, ProxyError problem) => problem;

    /// <summary>The model of a call that names none; null when there is none of the kind that the caller may use.</summary>
    protected virtual string? FirstModel(CallScope scope) => null;

    protected abstract ValueTask AnswerHereAsync(VectorCall call, IVectorModel model);

    protected abstract ValueTask AnswerFromHostAsync(VectorCall call);

    /// <summary>Sends a call to a host that serves its model. Null when the client was told why there is no answer.</summary>
    protected async ValueTask<BackendReply?> SendAsync(VectorCall call, HostCall sent)
    {
        switch (await parts.Dispatcher.SendAsync(sent, call.Model, call.Resolution, call.Scope.Cancellation))
        {
            case DispatchResult.Answered { Reply: var reply }:
                call.Scope.Answering(reply.Backend, reply.ServedModel, reply.Status);
                return reply;
            case DispatchResult.Failed failed:
                await call.Scope.RefuseAsync(failed.Error);
                return null;
            case DispatchResult.Echo echo:
                echo.Lease.Dispose();
                await call.Scope.RefuseAsync(new(ProxyErrorKind.NotImplemented, $"the built-in backend '{echo.Lease.Backend.Name}' only chats; '{surface}' needs a model host"));
                return null;
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    /// <summary>The name of the model in an answer that goes to the client as it came.</summary>
    protected static string NameFor(VectorCall call, BackendReply reply) => call.Envelope.Model.Length == 0 ? reply.ServedModel : call.Model;

    /// <summary>Reads a whole answer of a host. False when the client was told why there is none.</summary>
    protected static async ValueTask<bool> ReadAsync(VectorCall call, BackendReply reply, PooledBody document)
    {
        var problem = await VerbatimWriter.ReadAsync(reply, document);
        reply.GiveBackSlot();
        problem ??= reply.Refusal;
        if (problem is not null) await call.Scope.RefuseAsync(problem);
        return problem is null;
    }

    protected static PooledBody NewDocument(BackendReply reply) => new((int)Math.Min(reply.ContentLength ?? 16384, VerbatimWriter.LongestFirstRoom) + 1);

    protected static async ValueTask WriteAsync(CallScope scope, string contentType, PooledBody body)
    {
        var response = scope.Context.Response;
        response.ContentType = contentType;
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body.Memory);
    }

    /// <summary>Sends a call in parts whose answers are lists, and answers with one list of all that is in them.</summary>
    protected async ValueTask JoinListsAsync(VectorCall call, IReadOnlyList<HostCall> sent)
    {
        var (lists, backend, served, problem) = await new PartedCall<byte[]>(call, parts, sent, HostErrors, static (_, answer) => Inside(answer.Span)).SendAsync();
        if (problem is not null)
        {
            await call.Scope.RefuseAsync(problem);
            return;
        }

        call.Scope.Answering(backend, served);
        using var body = new PooledBody(lists!.Sum(static list => list.Length + 1) + 1);
        for (var i = 0; i < lists!.Length; i++)
        {
            body.Write(i == 0 ? "["u8 : ","u8);
            body.Write(lists[i]);
        }

        body.Write("]"u8);
        await WriteAsync(call.Scope, "application/json", body);
    }

    /// <summary>What stands between the brackets of a list; null where it is none, or an empty one.</summary>
    private static byte[]? Inside(ReadOnlySpan<byte> list) =>
        list.Trim(" \t\r\n"u8) is [(byte)'[', .. var inside, (byte)']'] && !inside.Trim(" \t\r\n"u8).IsEmpty ? inside.ToArray() : null;

    /// <summary>Whether a backend speaks a family: as configured, else as it says.</summary>
    protected static bool Speaks(Backend backend, string family) => backend.Families.Any(known => Config.DialectNames.Name(known) == family);

    /// <summary>The first model of TEI hosts, in the order of the file, whose <c>/info</c> says that it is of the kind.</summary>
    /// <param name="inProxies">Only among those that run in the process of a proxy behind this one, as its own do here.</param>
    protected string? FirstAtHost(Func<string, bool> mayUse, string kind, bool inProxies = false)
    {
        foreach (var backend in parts.Directory.Table.All)
        {
            if (!Speaks(backend, "tei")) continue;
            foreach (var model in backend.State.Report?.Models ?? [])
            {
                if (inProxies && model.Told is not { End: ModelEnd.Process }) continue;
                if (parts.Directory.Table.IsServed(model.Name, backend) && mayUse(model.Name) && model.TeiInfo is { } info && info.TryGetProperty("model_type", out var type)
                    && type.ValueKind is System.Text.Json.JsonValueKind.Object && type.TryGetProperty(kind, out _)) return model.Name;
            }
        }

        return null;
    }

    private ProxyError? Choose(CallScope scope, ChatEnvelope envelope, [NotNullWhen(true)] out string? model)
    {
        model = envelope.Model.Length > 0 ? envelope.Model : FirstModel(scope);
        return model is not null ? null : new(ProxyErrorKind.UnknownModel, $"no model here answers {surface}; name one in `model`");
    }
}

/// <summary>One call under way: its scope, its body, the model that it asks for and who serves that.</summary>
internal sealed record VectorCall(CallScope Scope, PooledBody Body, ChatEnvelope Envelope, string Model, Resolution Resolution)
{
    /// <summary>The client's own bytes; only the model's name is another where the host knows it by another.</summary>
    public SplicedBody Named(string served) => served == Model || Envelope.Model.Length == 0
        ? new(Body.Memory)
        : new(Body.Memory[..Envelope.ModelSlice.Start], ModelName.Json(served), Body.Memory[Envelope.ModelSlice.End..]);

    /// <summary>The same for a host that is a proxy: a call that names no model gets the name of ours, since that proxy might take another for it.</summary>
    public SplicedBody NamedAnyway(string served)
    {
        if (Envelope.Model.Length > 0) return Named(served);
        var after = Body.Memory[(Body.Span.IndexOf((byte)'{') + 1)..];
        var isEmpty = after.Span.TrimStart(" \t\r\n"u8) is [(byte)'}', ..];
        return new("{\"model\":"u8.ToArray(), isEmpty ? ModelName.Json(served) : (byte[])[.. ModelName.Json(served).Span, (byte)','], after);
    }
}

/// <summary>What a host is to be sent, decided when it is known which host it is.</summary>
/// <param name="path">The client's own path and query, for bytes that stay; null when they cannot stay with this host.</param>
/// <param name="write">Writes the call for a host that speaks otherwise: its path, and the body in the given buffer; or why that host cannot be asked.</param>
internal sealed class HostCall(VectorCall call, Func<Backend, string?> path, HostCall.Writer write, ILogger log) : IDispatchable
{
    public delegate ProxyError? Writer(Backend backend, string served, PooledBody body, List<string> lost, out string path);

    private static readonly BackendDialect Errors = new OpenAiChatBackendDialect();

    /// <summary>The host that was asked last got the client's bytes.</summary>
    public bool Verbatim { get; private set; }

    /// <summary>It was a proxy, whose answer is in every way as ours would be.</summary>
    public bool AskedProxy { get; private set; }

    public CallInfo Info => call.Scope.Info;

    public IReadOnlyList<KeyValuePair<string, string>> Headers => call.Scope.CrossingHeaders;

    public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
    {
        outgoing = default;
        if (path(backend) is { } same)
        {
            Verbatim = true;
            AskedProxy = backend.IsProxy;
            outgoing = new("POST", same, backend.IsProxy ? call.NamedAnyway(served) : call.Named(served), call.Scope.Context.Request.ContentType ?? "application/json", null, Errors, Streams: false);
            return null;
        }

        Verbatim = false;
        var body = new PooledBody();
        var lost = new List<string>();
        if (write(backend, served, body, lost, out var target) is { } unsayable)
        {
            body.Dispose();
            return unsayable;
        }

        if (lost.Count > 0) log.FieldsLost(Info.TraceId, backend.Name, string.Join(", ", lost));
        outgoing = new("POST", target, new(body.Memory), "application/json", null, Errors, Streams: false, body);
        return null;
    }

}
