using System.Collections.Frozen;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Routes;

namespace Proxy.Http;

/// <summary>
/// A call that is not a chat and names a model: audio, images, moderation. It is forwarded to a host of that model, and the host's answer is forwarded to the
/// client.
/// </summary>
internal sealed class ModelExchange(ClientDialect dialect, BackendDialect hostDialect, ModelRelay relay, ExchangeParts parts)
    : Exchange("/v1/*", dialect, parts)
{
    /// <summary>
    /// The paths that do nothing but inference. A host has more paths under <c>/v1</c> (to load adapters, unload models, keep files) and would serve all of
    /// them to our credential.
    /// </summary>
    private static readonly FrozenSet<string> Inference = FrozenSet.Create(
        "/v1/embeddings", "/v1/rerank", "/v1/reranking", "/v1/score", "/v1/classify", "/v1/pooling", "/v1/moderations", "/v1/tokenize", "/v1/detokenize",
        "/v1/responses", "/v1/responses/compact", "/v1/infill", "/v1/fim/completions", "/v1/ocr",
        "/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/generations", "/v1/images/edits", "/v1/images/variations");

    /// <summary>
    /// Names the call by its path if that is a known one. All other paths share one name: otherwise any caller could create new metrics at will.
    /// </summary>
    protected override CallScope Begin(HttpContext context) =>
        CallScope.Begin(context, Inference.Contains(context.Request.Path.Value!) ? context.Request.Path.Value! : Surface, Dialect, Parts);

    protected override ProxyError? Forbids(CallScope scope)
    {
        var path = scope.Context.Request.Path.Value!.TrimEnd('/');
        if (scope.MayManage || Inference.Contains(path)) return null;
        return new(ProxyErrorKind.Forbidden, scope.Caller.IsAnonymous
            ? $"'{path}' may do more than inference: from another machine, it needs an API key"
            : $"'{path}' may do more than inference, and this key is limited to some models: it needs a key without `models`");
    }

    protected override async ValueTask<ProxyError?> AnswerAsync(CallScope scope, PooledBody body)
    {
        using var held = body;
        if ((Read(scope, body, out var call) ?? Use(scope, call!.Model)) is { } problem) return problem;
        scope.Record.Route = "direct";
        var (reply, refusal) = await relay.SendAsync(call!, scope.Cancellation);
        if (reply is null) return refusal;
        scope.Answering(reply);
        await VerbatimWriter.RelayAsync(scope, reply, call!.Model, hostDialect);
        return null;
    }

    private ProxyError? Read(CallScope scope, PooledBody body, out ModelCall? call)
    {
        call = null;
        var request = scope.Context.Request;
        var contentType = request.ContentType;
        string model;
        Range slice;
        var multipart = contentType?.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase) == true;
        if (multipart)
        {
            if (MultipartModel.Find(body.Span, contentType!) is not { } field)
                return new(ProxyErrorKind.InvalidRequest, "the form needs one field \"model\"") { Param = "model" };
            (model, slice) = field;
            if (ModelName.Refusal(model) is { } tooLong) return tooLong;
        }
        else
        {
            if (EnvelopePeek.Read(body.Span, out var envelope) is { } problem) return problem;
            (model, slice) = (envelope!.Model, envelope.ModelSlice);
            scope.Record.Stream = envelope.Stream ?? false;
        }

        call = new ModelCall(scope.Info, request.Method, request.Path.ToUriComponent() + request.QueryString.ToUriComponent(), contentType, body.Memory, model,
            slice, !multipart, scope.CrossingHeaders) { Errors = hostDialect };
        return null;
    }
}
