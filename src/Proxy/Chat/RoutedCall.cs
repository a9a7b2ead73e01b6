namespace Proxy.Chat;

/// <summary>A call and what its model's name and its headers ask for. A route is chosen by this alone.</summary>
/// <param name="Call">The call. Its envelope has the model's name as the client wrote it; the answer repeats that name.</param>
/// <param name="Model">The model that answers: the name without the workspace.</param>
/// <param name="Workspace">The documents to ground the answer in: <c>x-workspace</c>, or the part of the name after <c>#</c>.</param>
/// <param name="Pipeline">The workflow that answers: <c>x-pipeline</c>, or NAME in <c>pipeline/NAME</c>.</param>
internal readonly record struct RoutedCall(ChatCall Call, string Model, string? Workspace = null, string? Pipeline = null)
{
    /// <summary>
    /// The sources that a route found for the answer; null: none. An answer with sources is written from events, because the host's bytes do not contain them.
    /// </summary>
    public IReadOnlyList<Source>? Sources { get; init; }

    /// <summary>The search that found them; null: none was made.</summary>
    public SearchNote? Search { get; init; }

    /// <summary>
    /// The same call with another request, for the next route. If the edit leaves the model as the client wrote it, the request gets <see cref="Model"/>.
    /// </summary>
    public RoutedCall Edited(ChatRequest edited)
    {
        var model = edited.Model == Call.Envelope.Model ? Model : edited.Model;
        return this with { Call = Call.Edited(edited with { Model = model }), Model = model };
    }

    /// <summary>
    /// The digest of everything in the call that shapes its answer (<see cref="RequestDigest"/>). Computed at the first use, which parses the request, and then
    /// kept by the call. Null if the request is invalid, or if the call's body was released before the first use.
    /// </summary>
    public string? RequestId() => Call.RequestId ?? Call.Identify(this);
}
