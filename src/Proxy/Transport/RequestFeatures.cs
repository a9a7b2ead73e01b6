using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>Implemented by a request's context whose reader rejects ambiguous heads, so that neither the path nor the fields need another check.</summary>
internal interface IStrictRequest;

/// <summary>
/// Implemented by a request's context whose connection closes by itself if the handler does not touch the response, after the earlier responses are
/// sent. The handler need not abort it.
/// </summary>
internal interface IEndsUnanswered;

/// <summary>Implemented by a request's context: no further request is served on its connection.</summary>
internal interface IClosesAfter
{
    /// <summary>Call it before the response begins.</summary>
    void CloseAfter();
}

/// <summary>Implemented by a request's body reader that can hand over a completely received body without an asynchronous read.</summary>
internal interface IWholeBody
{
    /// <summary>Takes the whole body if all of it has been received; otherwise takes nothing.</summary>
    bool TryTakeWhole(PooledBody into);
}

/// <summary>Implemented by a message's headers: the fields in their order, to be iterated without an allocation.</summary>
internal interface IFieldList
{
    ReadOnlySpan<KeyValuePair<string, StringValues>> Fields { get; }
}

/// <summary>Implemented by a request's context, or a feature of its connection: sends relayed frames without copying them into Kestrel's buffers.</summary>
internal interface IRelayOutput
{
    /// <summary>The writer for relayed frames; Kestrel's own writer if this response cannot bypass it or would gain nothing from it.</summary>
    PipeWriter WriterOf(HttpContext context);
}

/// <summary>Finds the writer for relayed frames.</summary>
internal static class RelayOutput
{
    public static PipeWriter Of(HttpContext context) =>
        (context as IRelayOutput ?? context.Features.Get<IRelayOutput>())?.WriterOf(context) ?? context.Response.BodyWriter;
}
