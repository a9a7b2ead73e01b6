using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// Chooses who answers a call: <c>x-pipeline</c>, else <c>x-workspace</c>, else the model's name, else direct; <c>x-route</c> forces one and must not contradict.
/// What is asked for and not configured is refused, never ignored: an ungrounded answer to a grounded question would be a lie.
/// </summary>
internal sealed class RouteTable(IChatRoute direct)
{
    private const string PipelinePrefix = "pipeline/";

    /// <summary>The route, or why there is none.</summary>
    public ProxyError? Find(CallInfo info, string model, out IChatRoute route)
    {
        route = direct;
        return Refusal(info, model);
    }

    /// <summary>Why a call cannot have what it asks for besides a model; null when it asks for nothing. Also for calls that know one route only.</summary>
    public static ProxyError? Refusal(CallInfo info, string model)
    {
        if (info.Route is { } forced && forced is not ("direct" or "rag" or "workflow")) return Refuse("x-route", $"x-route is '{forced}'; it can be direct, rag or workflow");

        var pipeline = info.Pipeline ?? (model.StartsWith(PipelinePrefix, StringComparison.Ordinal) ? model[PipelinePrefix.Length..] : null);
        var workspace = info.Workspace ?? (model.LastIndexOf('#') is var mark and > 0 ? model[(mark + 1)..] : null);
        var asked = pipeline is not null ? "workflow" : workspace is not null ? "rag" : "direct";
        if (info.Route is { } forcedTo && forcedTo != asked)
        {
            return Refuse("x-route", asked is "direct"
                ? $"x-route is '{forcedTo}', but no {(forcedTo is "rag" ? "x-workspace" : "x-pipeline")} is given"
                : $"x-route is '{forcedTo}', but the call asks for {(pipeline is not null ? $"pipeline '{ModelName.Shown(pipeline)}'" : $"workspace '{ModelName.Shown(workspace!)}'")}");
        }

        if (pipeline is not null) return Refuse(info.Pipeline is null ? "model" : "x-pipeline", $"there is no pipeline '{ModelName.Shown(pipeline)}': workflows are not configured on this proxy");
        if (workspace is not null) return Refuse(info.Workspace is null ? "model" : "x-workspace", $"there is no workspace '{ModelName.Shown(workspace)}': knowledge is not configured on this proxy");
        return null;
    }

    private static ProxyError Refuse(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
