using Proxy.Backends;
using Proxy.Config;
using Proxy.Http;
using Proxy.Telemetry;

namespace Proxy.Composition.Features;

/// <summary>Health, readiness and metrics.</summary>
internal static class OperatorFeature
{
    public static void Add(PartsBuilder parts)
    {
        var status = new StatusEndpoints(parts.Directory, parts.Exchange.Calls, parts.Exchange.Metrics, parts.Exchange.Gate, parts.Readiness, parts.Details)
        {
            Degraded = parts.Degraded,
        };
        parts.Exchange.Metrics.GenAi.Provider = name => ProviderOf(parts.Directory.Table.All.FirstOrDefault(backend => backend.Name == name));
        parts.Exchange.Metrics.Add(ProcessMetrics.Read);
        parts.Exchange.Metrics.Add(() =>
        [
            new("proxy_build_info", "1; its label names the version.", $"version=\"{ProxyHost.Version}\"", 1),
            new("proxy_queue_waiting", "Calls waiting for a slot.", "", parts.Slots.Waiting),
            .. from backend in parts.Directory.Table.All
               let labels = $"backend=\"{ProxyMetrics.Escape(backend.Name)}\""
               from gauge in (Gauge[])
               [
                   new("proxy_backend_up", "1 while the backend can be given calls.", labels, backend.IsEcho || backend.State.Available ? 1 : 0),
                   new("proxy_backend_breaker_open", "1 while the backend's circuit breaker is open.", labels,
                       backend.State.Breaker is BreakerState.Open ? 1 : 0),
                   .. from state in Enum.GetValues<BreakerState>()
                      select new Gauge("proxy_backend_breaker", "1 for the state that the backend's circuit breaker is in.",
                          $"{labels},state=\"{StateName(state)}\"", backend.State.Breaker == state ? 1 : 0),
                   new("proxy_backend_in_flight", "Calls running at the backend.", labels, backend.State.InFlight),
                   .. backend.Slots is { } limit ? (Gauge[])[new("proxy_backend_slots", "Calls that the backend may run at once.", labels, limit)] : [],
               ]
               select gauge,
        ]);
        parts.Endpoints.AddRange(
        [
            new("GET", ["/"], StatusEndpoints.RootAsync),
            new("GET", ["/api/version"], status.VersionAsync),
            new("GET", ["/health"], StatusEndpoints.HealthAsync),
            new("GET", ["/ready"], status.ReadyAsync),
            new("GET", ["/metrics"], status.MetricsAsync),
        ]);
    }

    /// <summary>The conventions' name of a backend's provider: Anthropic's for its dialect, else what the host is, as far as it is known.</summary>
    private static string ProviderOf(Backend? backend) => backend switch
    {
        null => "unknown",
        { Config.Dialects: [DialectFamily.Anthropic] } => "anthropic",
        _ => backend.State.Report?.Kind ?? (backend.IsEcho ? "echo" : "openai"),
    };

    private static string StateName(BreakerState state) => state switch
    {
        BreakerState.Open => "open",
        BreakerState.HalfOpen => "half_open",
        _ => "closed",
    };
}
