using System.Globalization;
using System.Text.RegularExpressions;
using Proxy.Telemetry;

namespace Proxy.Tests.Telemetry;

public sealed partial class ProxyMetricsTests
{
    private static CallRecord Call(string surface = "/v1/x", string? backend = "gpu", string? served = null, int? input = null, int? output = null, CallOutcome outcome = CallOutcome.Ok)
        => new() { TraceId = "T", CorrelationId = "C", Surface = surface, Started = 0, Backend = backend, Served = served, TokensIn = input, TokensOut = output, Outcome = outcome };

    /// <summary>A line of the exposition format 0.0.4: a comment, or name, labels and value.</summary>
    [GeneratedRegex("""^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="([^"\\\n]|\\[\\n"])*"(,[a-z_]+="([^"\\\n]|\\[\\n"])*")*\})? (\+Inf|-?[0-9.]+(E[+-]?[0-9]+)?))$""")]
    private static partial Regex Line();

    [Fact]
    public void Names_are_nasty_The_text_is_still_valid()
    {
        var metrics = new ProxyMetrics();
        const string Nasty = "a\"b\\c\nd} 1\nevil 2";
        metrics.Count(Call(Nasty, Nasty, Nasty, 1, 2), TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(5));
        metrics.Add(() => [new("proxy_b", "B.", $"backend=\"{ProxyMetrics.Escape(Nasty)}\"", 1e20), new("proxy_a", "A.", "", -1.5), new("proxy_b", "B.", "backend=\"y\"", 0)]);

        var lines = metrics.Expose().Split('\n');

        Assert.Equal("", lines[^1]); // the last line ends too
        Assert.All(lines[..^1], line => Assert.Matches(Line(), line));
        foreach (var kind in lines.Where(l => l.StartsWith("# TYPE", StringComparison.Ordinal)).GroupBy(l => l)) Assert.Single(kind);
    }

    [Fact]
    public void Calls_are_counted_By_surface_backend_and_outcome()
    {
        var metrics = new ProxyMetrics();
        for (var i = 0; i < 3; i++) metrics.Count(Call(served: "m", input: 10, output: 5), TimeSpan.FromSeconds(.3), TimeSpan.FromSeconds(.1));
        metrics.Count(Call(outcome: CallOutcome.ClientLeft, backend: null), TimeSpan.FromSeconds(9999), null);
        metrics.Enter();
        metrics.Enter();
        metrics.Leave();

        var text = metrics.Expose();

        Assert.Contains("proxy_requests_total{surface=\"/v1/x\",backend=\"gpu\",outcome=\"ok\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_requests_total{surface=\"/v1/x\",backend=\"\",outcome=\"client_left\"} 1\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_tokens_total{backend=\"gpu\",model=\"m\",direction=\"input\"} 30\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_tokens_total{backend=\"gpu\",model=\"m\",direction=\"output\"} 15\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_in_flight 1\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_first_token_seconds_bucket{backend=\"gpu\",le=\"0.08\"} 0\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_first_token_seconds_bucket{backend=\"gpu\",le=\"0.1\"} 3\n", text, StringComparison.Ordinal); // a bound holds what equals it
        Assert.Contains("proxy_request_duration_seconds_bucket{surface=\"/v1/x\",le=\"600\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_bucket{surface=\"/v1/x\",le=\"+Inf\"} 4\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_count{surface=\"/v1/x\"} 4\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_sum{surface=\"/v1/x\"} 9999.9\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Clients_think_of_many_names_The_series_are_bounded_and_no_token_is_lost()
    {
        var metrics = new ProxyMetrics();
        for (var i = 0; i < 5000; i++) metrics.Count(Call(served: $"m{i}", input: 1, output: 1), default, null);

        var tokens = metrics.Expose().Split('\n').Where(l => l.StartsWith("proxy_tokens_total{", StringComparison.Ordinal)).ToArray();

        Assert.InRange(tokens.Length, 100, 1100);
        Assert.Equal(10_000, tokens.Sum(l => double.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture)));
    }
}
