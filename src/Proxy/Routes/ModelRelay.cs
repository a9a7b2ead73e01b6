using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>A call that is no chat and is only passed on to whoever serves its model. <paramref name="ModelSlice"/> is the name's place in the body, <paramref name="Quoted"/> whether in JSON.</summary>
internal sealed record ModelCall(CallInfo Info, string Method, string Path, string? ContentType, ReadOnlyMemory<byte> Body, string Model, Range ModelSlice, bool Quoted, IReadOnlyList<KeyValuePair<string, string>> Headers) : IDispatchable
{
    /// <summary>How to read a host's refusal.</summary>
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

/// <summary>Passes calls of any kind on by their model's name.</summary>
internal sealed class ModelRelay(BackendDirectory directory, BackendDispatcher dispatcher)
{
    /// <summary>The host's reply, its refusals included, or our error.</summary>
    public async ValueTask<(BackendReply? Reply, ProxyError? Error)> SendAsync(ModelCall call, CancellationToken cancellation)
    {
        if (directory.Table.Resolve(call.Model) is not { } resolution) return (null, DirectRoute.UnknownModel(call.Model));
        if (resolution.InProcess is not null) return (null, OnlyVectors(call));
        return Reply(await dispatcher.SendAsync(call, call.Model, resolution, cancellation), call.Path);
    }

    /// <summary>The reply to a call that is no chat; the backend inside this program has none.</summary>
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
        new(ProxyErrorKind.InvalidRequest, $"\"{ModelName.Shown(call.Model)}\" does not support {call.Path.Split('?')[0]}: it runs in this proxy, which embeds (/v1/embeddings) and reranks (/v1/rerank)") { Param = "model" };
}
