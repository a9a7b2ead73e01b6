using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// The routes in their order; the direct route is the last. A call chooses its route by <c>x-pipeline</c>, otherwise by <c>x-workspace</c>, otherwise by
/// its model's name. <c>x-route</c> forces a route and must not contradict them. A call that asks for a workspace or pipeline that is not configured is
/// refused: if the request were ignored, the client would take an ungrounded answer for a grounded one.
/// </summary>
internal sealed class RouteTable(IReadOnlyList<IChatRoute> routes)
{
    private const string PipelinePrefix = "pipeline/";

    /// <summary>Splits the model's name (<c>MODEL#WORKSPACE</c>, <c>pipeline/NAME</c>). Headers take precedence over the name.</summary>
    public static RoutedCall Split(ChatCall call)
    {
        var (model, workspace, pipeline) = Split(call.Info, call.Envelope.Model);
        return new(call, model, workspace, pipeline);
    }

    /// <summary>Finds the first route that takes the call, or returns the error.</summary>
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

    /// <summary>
    /// For calls that have only one route (embeddings, for example): the error if the call asks for another route, a workspace or a pipeline; otherwise null.
    /// </summary>
    public static ProxyError? Refusal(CallInfo info, string model)
    {
        var (_, workspace, pipeline) = Split(info, model);
        return Contradiction(info.Route, workspace, pipeline) ?? NotConfigured(info, workspace, pipeline);
    }

    private static (string Model, string? Workspace, string? Pipeline) Split(CallInfo info, string name)
    {
        if (name.StartsWith(PipelinePrefix, StringComparison.Ordinal)) return (name, info.Workspace, info.Pipeline ?? name[PipelinePrefix.Length..]);
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
            : pipeline is not null
                ? $"x-route is '{forced}', but the call asks for pipeline '{ModelName.Shown(pipeline)}'"
                : $"x-route is '{forced}', but the call asks for workspace '{ModelName.Shown(workspace!)}'");
    }

    private static ProxyError? NotConfigured(CallInfo info, string? workspace, string? pipeline) =>
        pipeline is not null ? Refuse(info.Pipeline is null ? "model" : "x-pipeline",
            $"there is no pipeline '{ModelName.Shown(pipeline)}': workflows are not configured on this proxy")
        : workspace is not null ? Refuse(info.Workspace is null ? "model" : "x-workspace",
            $"there is no workspace '{ModelName.Shown(workspace)}': knowledge is not configured on this proxy")
        : null;

    private static ProxyError Refuse(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
