using System.Globalization;
using System.Text.RegularExpressions;
using Proxy.Telemetry;

namespace Proxy.Tests.Telemetry;

public sealed partial class ProxyMetricsTests
{
    private static CallRecord Call(string surface = "/v1/chat/completions", string? backend = "gpu", string? served = null, int? input = null,
        int? output = null, CallOutcome outcome = CallOutcome.Ok, string? asked = null, int status = 200)
        => new()
        {
            Model = asked,
            Status = status,
            TraceId = "T",
            CorrelationId = "C",
            Surface = surface,
            Started = 0,
            Backend = backend,
            Served = served,
            TokensIn = input,
            TokensOut = output,
            Outcome = outcome,
            Stream = true,
        };

    /// <summary>A line of the exposition format 0.0.4: a comment, or a name with labels and a value.</summary>
    [GeneratedRegex("""^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="([^"\\\n]|\\[\\n"])*"(,[a-z_]+="([^"\\\n]|\\[\\n"])*")*\})? (\+Inf|-?[0-9.]+(E[+-]?[0-9]+)?))$""")]
    private static partial Regex Line();

    [Fact]
    public void Names_are_nasty_The_text_is_still_valid()
    {
        var metrics = new ProxyMetrics();
        const string Nasty = "a\"b\\c\nd} 1\nevil 2";
        metrics.Count(Call(Nasty, Nasty, Nasty, 1, 2), TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(5));
        metrics.Add(() => [new("proxy_b", "B.", $"backend=\"{ProxyMetrics.Escape(Nasty)}\"", 1e20), new("proxy_a", "A.", "", -1.5),
            new("proxy_b", "B.", "backend=\"y\"", 0)]);

        var lines = metrics.Expose().Split('\n');

        Assert.Equal("", lines[^1]); // the text ends with a trailing newline
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

        Assert.Contains("proxy_requests_total{surface=\"/v1/chat/completions\",backend=\"gpu\",model=\"m\",outcome=\"ok\",status=\"200\"} 3\n", text,
            StringComparison.Ordinal);
        Assert.Contains("proxy_requests_total{surface=\"/v1/chat/completions\",backend=\"\",model=\"\",outcome=\"client_left\",status=\"200\"} 1\n", text,
            StringComparison.Ordinal);
        Assert.Contains("proxy_tokens_total{backend=\"gpu\",model=\"m\",direction=\"input\"} 30\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_tokens_total{backend=\"gpu\",model=\"m\",direction=\"output\"} 15\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_in_flight 1\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_first_token_seconds_bucket{backend=\"gpu\",model=\"m\",le=\"0.08\"} 0\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_first_token_seconds_bucket{backend=\"gpu\",model=\"m\",le=\"0.1\"} 3\n",
            text, StringComparison.Ordinal); // a bucket's bound is inclusive
        Assert.Contains("proxy_request_duration_seconds_bucket{surface=\"/v1/chat/completions\",le=\"600\"} 3\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_bucket{surface=\"/v1/chat/completions\",le=\"+Inf\"} 4\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_count{surface=\"/v1/chat/completions\"} 4\n", text, StringComparison.Ordinal);
        Assert.Contains("proxy_request_duration_seconds_sum{surface=\"/v1/chat/completions\"} 9999.9\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Model_streams_Its_times_are_counted_by_our_names_and_by_the_conventions()
    {
        var metrics = new ProxyMetrics { GenAi = { Provider = static backend => backend + "'s" } };
        var call = Call(served: "m", input: 100, output: 11);
        (call.Chunks, call.TokensCached, call.TokensReasoning) = (21, 60, 5);
        metrics.Count(call, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(.5), TimeSpan.FromSeconds(2));
        metrics.Count(Call("/v1/completions", served: "m", output: 11), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(1), TimeSpan.Zero,
            TimeSpan.FromSeconds(2));
        metrics.Count(Call(served: "m", outcome: CallOutcome.Timeout, status: 504), TimeSpan.FromSeconds(9), null, TimeSpan.Zero);
        metrics.Count(Call("/v1/embeddings", served: "e", input: 7), TimeSpan.FromSeconds(9), null, TimeSpan.Zero);

        var text = metrics.Expose();

        const string Ours = "{backend=\"gpu\",model=\"m\"";
        const string Chat = "{backend=\"gpu\",gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"gpu's\",gen_ai_request_model=\"m\"";
        foreach (var line in (string[])[
            $"proxy_first_token_seconds_count{Ours}}} 2", // of both operations
            $"proxy_time_per_output_token_seconds_sum{Ours}}} 0.4", // 2 s for ten tokens, twice
            $"proxy_queue_seconds_bucket{Ours},le=\"0.25\"}} 2",
            $"proxy_queue_seconds_bucket{Ours},le=\"0.5\"}} 3",
            $"proxy_cached_tokens_total{Ours}}} 60",
            $"gen_ai_client_inference_duration_seconds_count{Chat}}} 1",
            $"gen_ai_client_inference_duration_seconds_sum{Chat},error_type=\"timeout\"}} 9",
            $"gen_ai_client_inference_time_to_first_chunk_seconds_count{Chat}}} 1",
            $"gen_ai_client_inference_time_per_output_chunk_seconds_count{Chat}}} 20",
            $"gen_ai_client_inference_time_per_output_chunk_seconds_sum{Chat}}} 2",
            $"gen_ai_server_time_per_output_token_seconds_count{Chat}}} 1",
            $"gen_ai_client_inference_usage_input_tokens_total{Chat}}} 100",
            $"gen_ai_client_inference_usage_reasoning_output_tokens_total{Chat}}} 5"])
            Assert.Contains("\n" + line + "\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("gen_ai_request_model=\"e\"", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Answer_is_no_stream_It_has_no_time_to_its_first_token()
    {
        var metrics = new ProxyMetrics();
        var call = Call(served: "m", output: 11);
        call.Stream = false;
        metrics.Count(call, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(3), TimeSpan.Zero, TimeSpan.Zero);

        Assert.Contains("proxy_first_token_seconds_count{backend=\"gpu\",model=\"m\"} 0\n", metrics.Expose(), StringComparison.Ordinal);
    }

    [Fact]
    public void Conventions_names_are_those_of_their_exposed_form()
    {
        foreach (var row in GenAiMetrics.Names)
            Assert.Equal(row.Name.Replace('.', '_') + (row.Kind == "histogram" ? "_seconds" : "_total"), row.Exposed);
    }

    [Fact]
    public void Process_is_measured()
    {
        var gauges = ProcessMetrics.Read().ToList();

        Assert.All(gauges.Where(gauge => gauge.Name.StartsWith("process_", StringComparison.Ordinal)), gauge => Assert.True(gauge.Value > 0, gauge.Name));
        var start = gauges.Single(gauge => gauge.Name == "process_start_time_seconds").Value;
        var own = new DateTimeOffset(System.Diagnostics.Process.GetCurrentProcess().StartTime).ToUnixTimeMilliseconds() / 1e3;
        Assert.InRange(start, own - 2, own + 2);
        Assert.Equal(gauges.Count, gauges.DistinctBy(gauge => (gauge.Name, gauge.Labels)).Count());
    }

    [Fact]
    public void Calls_are_counted_By_model_and_status_and_a_name_that_a_client_made_up_is_other()
    {
        var metrics = new ProxyMetrics { Lists = model => model is "listed" };
        metrics.Count(Call(served: "by-prefix", asked: "alias"), default, null);
        metrics.Count(Call(backend: null, asked: "listed", outcome: CallOutcome.Refused, status: 503), default, null);
        metrics.Count(Call(backend: null, asked: "by-prefix", outcome: CallOutcome.BackendError, status: 502), default, null);
        for (var i = 0; i < 2000; i++) metrics.Count(Call(backend: null, asked: $"made-up-{i}", outcome: CallOutcome.Refused, status: 404), default, null);

        var text = metrics.Expose();

        foreach (var line in (string[])[
            "backend=\"gpu\",model=\"by-prefix\",outcome=\"ok\",status=\"200\"} 1\n",
            "backend=\"\",model=\"listed\",outcome=\"refused\",status=\"503\"} 1\n",
            "backend=\"\",model=\"by-prefix\",outcome=\"backend_error\",status=\"502\"} 1\n",
            "backend=\"\",model=\"other\",outcome=\"refused\",status=\"404\"} 2000\n"])
            Assert.Contains("proxy_requests_total{surface=\"/v1/chat/completions\"," + line, text, StringComparison.Ordinal);
        Assert.DoesNotContain("made-up", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_takes_any_name_What_is_listed_keeps_a_series_of_its_own()
    {
        var metrics = new ProxyMetrics { Lists = model => model.StartsWith("real", StringComparison.Ordinal) };
        for (var i = 0; i < 5000; i++) metrics.Count(Call(served: $"m{i}"), default, null);
        for (var i = 0; i < 50; i++) metrics.Count(Call(served: $"real{i}"), default, null);

        var models = metrics.Expose().Split('\n').Where(line => line.StartsWith("proxy_requests_total{", StringComparison.Ordinal)).ToArray();

        Assert.Equal(50, models.Count(line => line.Contains("model=\"real", StringComparison.Ordinal)));
        Assert.InRange(models.Length, 51, 200);
    }

    [Fact]
    public void Calls_of_many_kinds_take_turns_Counting_them_allocates_nothing()
    {
        var metrics = new ProxyMetrics();
        var calls = Enumerable.Range(0, 20).Select(i => Call(served: $"m{i % 5}", input: 1, output: 1, status: 200 + i % 4)).ToArray();
        foreach (var call in calls) metrics.Count(call, default, TimeSpan.Zero);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++) metrics.Count(calls[i % 20], default, TimeSpan.Zero);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
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
