using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// A call that is not a chat and is relayed to a backend of its model. <paramref name="ModelSlice"/> is the position of the model's name in the body;
/// <paramref name="Quoted"/> tells whether it is a JSON string there.
/// </summary>
internal sealed record ModelCall(
    CallInfo Info, string Method, string Path, string? ContentType, ReadOnlyMemory<byte> Body, string Model, Range ModelSlice, bool Quoted,
    IReadOnlyList<KeyValuePair<string, string>> Headers) : IDispatchable
{
    /// <summary>The dialect that reads the host's error.</summary>
    public required BackendDialect Errors { get; init; }

    public ProxyError? Prepare(Backend backend, string served, out OutgoingCall outgoing)
    {
        var body = served == Model
            ? new SplicedBody(Body)
            : new SplicedBody(Body[..ModelSlice.Start], Quoted ? ModelName.Json(served) : System.Text.Encoding.UTF8.GetBytes(served), Body[ModelSlice.End..]);
        outgoing = new(Method, Path, body, ContentType, null, Errors, Streams: false);
        return null;
    }
}

/// <summary>Relays calls of any kind to a backend of the model that they name.</summary>
internal sealed class ModelRelay(BackendDirectory directory, BackendDispatcher dispatcher)
{
    /// <summary>The host's reply, which may be its error, or an error of the proxy.</summary>
    public async ValueTask<(BackendReply? Reply, ProxyError? Error)> SendAsync(ModelCall call, CancellationToken cancellation)
    {
        if (directory.Table.Resolve(call.Model) is not { } resolution) return (null, DirectRoute.UnknownModel(call.Model));
        if (resolution.InProcess is not null) return (null, OnlyVectors(call));
        return Reply(await dispatcher.SendAsync(call, call.Model, resolution, cancellation), call.Path);
    }

    /// <summary>Converts a dispatcher's result to a reply or an error. The built-in echo backend cannot answer a call that is not a chat.</summary>
    public static (BackendReply? Reply, ProxyError? Error) Reply(DispatchResult result, string path)
    {
        switch (result)
        {
            case DispatchResult.Answered answered:
                return (answered.Reply, null);
            case DispatchResult.Failed failed:
                return (null, failed.Error);
            case DispatchResult.Echo echo:
                echo.Lease.Dispose();
                return (null, new(ProxyErrorKind.NotImplemented, $"the built-in backend '{echo.Lease.Backend.Name}' only chats; '{path}' needs a model host"));
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    private static ProxyError OnlyVectors(ModelCall call) =>
        new(ProxyErrorKind.InvalidRequest,
            $"\"{ModelName.Shown(call.Model)}\" does not support {call.Path.Split('?')[0]}: "
            + "it runs in this proxy, which embeds (/v1/embeddings) and reranks (/v1/rerank)")
        {
            Param = "model",
        };
}
