using Microsoft.Extensions.Logging;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Workflows;

/// <summary>Answers calls for a pipeline: starts a job and relays its events as if a model were typing.</summary>
internal sealed class WorkflowRoute(
    Func<ProxyConfig> config, IReadOnlyList<ILauncher> launchers, Func<IWorkflowBus?> bus, Func<IArtifactStore?> artifacts, WorkflowMetrics metrics, ILogger log,
    TimeProvider time) : IChatRoute
{
    public string Name => "workflow";

    public bool Takes(in RoutedCall call) => call.Pipeline is not null && config().Pipelines.Count > 0;

    public ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation) => throw new NotImplementedException($"{launchers}{bus}{artifacts}{metrics}{log}{time}");
}
