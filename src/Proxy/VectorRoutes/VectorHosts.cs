using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Streams;
using Proxy.Routes;

namespace Proxy.VectorRoutes;

/// <summary>
/// The hosts that embed and rerank: sends calls to them and reads their answers. <paramref name="errors"/> reads the refusals of hosts of every dialect.
/// </summary>
internal sealed class VectorHosts(BackendDirectory directory, BackendDispatcher dispatcher, BackendDialect errors, ILogger log)
{
    public BackendDialect Errors => errors;
    public ILogger Log => log;
    public BackendTable Table => directory.Table;

    /// <summary>Sends a call to a host that serves its model. Returns the reply, which may be the host's refusal, or our own error.</summary>
    public async ValueTask<(BackendReply? Reply, ProxyError? Error)> SendAsync(IDispatchable sent, VectorCall call, CancellationToken cancellation)
    {
        var result = ModelRelay.Reply(await dispatcher.SendAsync(sent, call.Model, call.Resolution, cancellation), call.Path);
        if (result.Reply is { } reply) call.Answering?.Invoke(reply);
        return result;
    }

    /// <summary>Reads and parses the answer to a request that we wrote. Frees the slot; the caller still owns the reply.</summary>
    public static async ValueTask<(T? Answer, ProxyError? Error)> ReadAsync<T>(BackendReply reply, HostCall<T> sent)
        where T : class
    {
        using var document = WholeReply.NewRoom(reply);
        var problem = await WholeReply.ReadAsync(reply, document);
        reply.GiveBackSlot();
        problem ??= reply.Refusal;
        if (problem is not null) return (null, problem);
        return sent.Read(document.Span) is { } answer ? (answer, null) : (null, reply.NotAnAnswer());
    }

    /// <summary>
    /// Reads an answer in the client's dialect and returns it unchanged, unless <paramref name="replace"/> returns another answer. Takes ownership of the
    /// reply.
    /// </summary>
    public static async ValueTask<VectorAnswer> CheckAsync(BackendReply reply, Func<PooledBody, VectorAnswer?> replace)
    {
        var document = WholeReply.NewRoom(reply);
        VectorAnswer? answer = null;
        try
        {
            var broken = await WholeReply.ReadAsync(reply, document);
            reply.GiveBackSlot();
            answer = broken is not null ? new VectorAnswer.Refused(broken) : replace(document) ?? new VectorAnswer.Verbatim(reply, document);
            return answer.From(reply);
        }
        finally
        {
            if (answer is not VectorAnswer.Verbatim)
            {
                reply.Dispose();
                document.Dispose();
            }
        }
    }

    /// <summary>The first model, in the order of the configuration file, that a TEI host's <c>/info</c> reports to be of this kind.</summary>
    /// <param name="inProxies">Considers only models that run in the process of a proxy behind this one.</param>
    public string? First(string kind, Func<string, bool> mayUse, bool inProxies = false)
    {
        foreach (var backend in Table.All)
        {
            if (!backend.FamilyNames.Contains("tei")) continue;
            foreach (var model in backend.State.Report?.Models ?? [])
            {
                if (inProxies && model.Told is not { End: ModelEnd.Process }) continue;
                if (Table.IsServed(model.Name, backend) && mayUse(model.Name) && model.TeiInfo is { } info && info.TryGetProperty("model_type", out var type)
                    && type.ValueKind is JsonValueKind.Object && type.TryGetProperty(kind, out _)) return model.Name;
            }
        }

        return null;
    }
}
