namespace Proxy.Inference;

/// <summary>The log events of this folder. Ids 800-899.</summary>
internal static partial class InferenceLog
{
    [LoggerMessage(800, LogLevel.Information, "Model {Model} is loaded: {Kind}, {Variant}, in {Duration} ms", EventName = "model_loaded")]
    public static partial void ModelLoaded(this ILogger logger, string model, string kind, string variant, int duration);

    [LoggerMessage(801, LogLevel.Error, "Model {Model} cannot be loaded: {Reason}", EventName = "model_not_loaded")]
    public static partial void ModelNotLoaded(this ILogger logger, string model, string reason);
}
