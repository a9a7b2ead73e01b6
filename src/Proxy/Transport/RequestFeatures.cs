using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>Of a request's context: the head was read by a reader that takes none with two readings, so that neither the path nor the fields need a second look.</summary>
internal interface IStrictRequest;

/// <summary>Of a request's context: where the handler leaves the response untouched, the connection ends by itself, behind the answers that are on their way. Nothing has to be aborted.</summary>
internal interface IEndsUnanswered;

/// <summary>Of a request's body reader: gives what is there as a whole, without a read that waits.</summary>
internal interface IWholeBody
{
    /// <summary>All of the body, if all of it has come; else nothing is taken.</summary>
    bool TryTakeWhole(PooledBody into);
}

/// <summary>Of a message's headers: the fields in their order, for a pass that allocates nothing.</summary>
internal interface IFieldList
{
    ReadOnlySpan<KeyValuePair<string, StringValues>> Fields { get; }
}

/// <summary>Of a request's context, or a feature of its connection: a relayed frame can leave without the server's buffers.</summary>
internal interface IRelayOutput
{
    /// <summary>The server's own writer where a response cannot be written past it, and where nothing is gained by that.</summary>
    PipeWriter WriterOf(HttpContext context);
}

/// <summary>Where relayed frames are written.</summary>
internal static class RelayOutput
{
    public static PipeWriter Of(HttpContext context) => (context as IRelayOutput ?? context.Features.Get<IRelayOutput>())?.WriterOf(context) ?? context.Response.BodyWriter;
}
