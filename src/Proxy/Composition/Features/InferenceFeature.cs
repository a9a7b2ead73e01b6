using Proxy.Inference;
using Proxy.Telemetry;

namespace Proxy.Composition.Features;

/// <summary>The models of this process.</summary>
internal static class InferenceFeature
{
    public static void Add(PartsBuilder parts)
    {
        var models = new LocalModels(parts.Config.Inference, parts.Exchange.Log);
        parts.Owned.Push(models);
        parts.Directory.Embedders = models.Table;
        parts.Exchange.Metrics.Add(() =>
            from load in models.Load()
            let labels = $"model=\"{ProxyMetrics.Escape(load.Name)}\""
            from gauge in (Gauge[])
            [
                new("proxy_inference_waiting", "Texts waiting for a model of this process.", labels, load.Waiting),
                new("proxy_inference_tokens", "Tokens that a model of this process has computed.", labels, load.Tokens),
                new("proxy_inference_padding", "Tokens computed only to fill batches up.", labels, load.Padding),
                new("proxy_inference_batches_total", "Batches that a model of this process has computed.", labels, load.Batches),
            ]
            select gauge);
        parts.Readiness.Add(() => models.AreReady);
        parts.Background.Add(models.WarmAsync);
        parts.FixedSettings.AddRange(
        [
            new("[inference]", static config => config.Inference with { Models = [] }),
            new("[[inference.models]]", static config => string.Join('\n', config.Inference.Models)),
        ]);
    }
}
