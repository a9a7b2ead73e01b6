using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// The routes in order; the direct one is the last. A call asks for a route by <c>x-pipeline</c>, else by <c>x-workspace</c>, else by its model's name;
/// <c>x-route</c> forces one and must not contradict. A call for something that is not configured is refused, never answered without it: an ungrounded answer
/// to a grounded question would be a lie.
/// </summary>
internal sealed class RouteTable(IReadOnlyList<IChatRoute> routes)
{
    /// <summary>Why a call for a workspace is refused where nothing answers from documents.</summary>
    public const string NoKnowledge = "knowledge is not configured on this proxy; it needs a state directory or PostgreSQL, and [knowledge] enabled = true";

    /// <summary>Splits the model's name: <c>MODEL#WORKSPACE</c>, <c>pipeline/NAME</c>. A header takes precedence over the name.</summary>
    public static RoutedCall Split(ChatCall call)
    {
        var (model, workspace, pipeline) = Split(call.Info, call.Envelope.Model);
        return new(call, model, workspace, pipeline);
    }

    /// <summary>The call with all that its name, its headers and its body ask of the routes.</summary>
    public RoutedCall Read(ChatCall call)
    {
        var routed = Split(call);
        for (var i = 0; i < routes.Count; i++) routed = routes[i].Read(routed);
        return routed;
    }

    /// <summary>Finds the first route that takes the call, or returns why there is none.</summary>
    public ProxyError? Find(in RoutedCall call, out IChatRoute? route)
    {
        route = null;
        var info = call.Call.Info;
        if (Contradiction(info.Route, call.Workspace, call.Pipeline) is { } problem) return problem;
        for (var i = 0; i < routes.Count; i++)
        {
            if (!routes[i].Takes(call)) continue;
            route = routes[i];
            return null;
        }

        return NotConfigured(info, call.Workspace, call.Pipeline);
    }

    /// <summary>For calls that have no routes (embeddings, counts): an error if the call asks for a workspace or a pipeline.</summary>
    public static ProxyError? Refusal(CallInfo info, string model)
    {
        var (_, workspace, pipeline) = Split(info, model);
        return Contradiction(info.Route, workspace, pipeline)
            ?? (pipeline is null ? NotConfigured(info, workspace, null) : Missing(info.Pipeline, "pipeline", pipeline, "pipelines answer only chats"))
            ?? (info.Wishes?.Rag is { } rag ? Refuse(rag.First, $"{rag.First} asks for a search in documents; only chats are answered from documents") : null);
    }

    private static (string Model, string? Workspace, string? Pipeline) Split(CallInfo info, string name)
    {
        if (name.StartsWith(ModelName.PipelinePrefix, StringComparison.Ordinal))
            return (name, info.Workspace, info.Pipeline ?? name[ModelName.PipelinePrefix.Length..]);
        return name.LastIndexOf('#') is var mark and > 0
            ? (name[..mark], info.Workspace ?? name[(mark + 1)..], info.Pipeline)
            : (name, info.Workspace, info.Pipeline);
    }

    private static ProxyError? Contradiction(string? forced, string? workspace, string? pipeline)
    {
        if (forced is not (null or "direct" or "rag" or "workflow")) return Refuse("x-route", $"x-route is '{forced}'; it can be direct, rag or workflow");
        var asked = pipeline is not null ? "workflow" : workspace is not null ? "rag" : "direct";
        if (forced is null || forced == asked) return null;
        return Refuse("x-route", asked is "direct"
            ? $"x-route is '{forced}', but no {(forced is "rag" ? "x-workspace" : "x-pipeline")} is given"
            : $"x-route is '{forced}', but the call asks for {(pipeline is null ? "workspace" : "pipeline")} '{ModelName.Shown((pipeline ?? workspace)!)}'");
    }

    private static ProxyError? NotConfigured(CallInfo info, string? workspace, string? pipeline) =>
        pipeline is not null ? Missing(info.Pipeline, "pipeline", pipeline, "workflows are not configured on this proxy")
        : workspace is not null ? Missing(info.Workspace, "workspace", workspace, NoKnowledge)
        : null;

    private static ProxyError Missing(string? header, string kind, string name, string why) =>
        Refuse(header is null ? "model" : "x-" + kind, $"there is no {kind} '{ModelName.Shown(name)}': {why}");

    private static ProxyError Refuse(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
