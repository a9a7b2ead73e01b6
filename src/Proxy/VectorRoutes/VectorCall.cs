using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.VectorRoutes;

/// <summary>
/// One call for vectors or scores: its caller, the model that it asks for, the backends (or the model of this process) that serve it, and the client's bytes.
/// A call that is made inside this process has no bytes.
/// </summary>
internal sealed record VectorCall(CallInfo Info, Resolution Resolution)
{
    public required string Model { get; init; }

    /// <summary>The path of our endpoint, however the client's URL spelled it.</summary>
    public required string Path { get; init; }

    /// <summary>The query of the client's URL, with its question mark.</summary>
    public string Query { get; init; } = "";

    public string ContentType { get; init; } = "application/json";

    /// <summary>The client's headers that may be forwarded to a host.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers { get; init; } = [];

    /// <summary>The client's bytes; valid until the call ends.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>Where the body names its model; null if it names none.</summary>
    public Range? ModelSlice { get; init; }

    /// <summary>Called when a host's reply to the whole call begins; null for a part of a call.</summary>
    public Action<BackendReply>? Answering { get; init; }

    /// <summary>
    /// The client's own bytes, with the model's name replaced if the host knows the model by another name. A call that names no model gets the name inserted
    /// for a proxy, which might choose another model.
    /// </summary>
    public SplicedBody BodyFor(Backend backend, string served)
    {
        if (ModelSlice is { } slice) return served == Model ? new(Body) : new(Body[..slice.Start], ModelName.Json(served), Body[slice.End..]);
        if (!backend.IsProxy) return new(Body);
        var after = Body[(Body.Span.IndexOf((byte)'{') + 1)..];
        var isEmpty = after.Span.TrimStart(" \t\r\n"u8) is [(byte)'}', ..];
        return new("{\"model\":"u8.ToArray(), isEmpty ? ModelName.Json(served) : (byte[])[.. ModelName.Json(served).Span, (byte)','], after);
    }
}
