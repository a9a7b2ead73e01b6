using System.Text;
using Proxy.Backends;

namespace Proxy.Tests.Backends;

/// <summary>What hosts say in their own metrics.</summary>
public sealed class HostFiguresTests
{
    private static HostFigures? Read(string text) => HostFigures.Read(Encoding.UTF8.GetBytes(text));

    [Fact]
    public void Vllm_has_two_engines_Counts_are_summed_and_of_the_cache_the_fullest_counts()
    {
        var figures = Read("""
            # HELP vllm:num_requests_running Number of requests in model execution batches.
            # TYPE vllm:num_requests_running gauge
            vllm:num_requests_running{engine="0",model_name="a b}c"} 3.0
            vllm:num_requests_running{engine="1",model_name="m"} 2.0
            vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
            vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
            vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.9
            vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
            vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
            vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1.2e+06
            vllm:prefix_cache_hits_total{engine="0",model_name="m"} 800000.0
            vllm:prefix_cache_hits_created{engine="0",model_name="m"} 1.7e+09
            vllm:prompt_tokens_total{engine="0",model_name="m"} 10
            vllm:generation_tokens_total{engine="0",model_name="m"} 20 1700000000000
            vllm:num_preemptions_total{engine="0",model_name="m"} 1
            """);

        Assert.Equal(new HostFigures
        {
            Running = 5, Waiting = 7, KvUsage = 0.5, PrefixQueries = 1.2e6, PrefixHits = 8e5, PromptTokens = 10, OutputTokens = 20, Preemptions = 1,
        }, figures);
    }

    [Fact]
    public void Llama_cpp_Is_read() => Assert.Equal(
        new HostFigures { Running = 1, Waiting = 4, PromptTokens = 12, OutputTokens = 34 },
        Read("llamacpp:prompt_tokens_total 12\nllamacpp:tokens_predicted_total 34\r\nllamacpp:requests_processing 1\nllamacpp:requests_deferred 4"));

    [Theory]
    [InlineData("")]
    [InlineData("<html>not found</html>")]
    [InlineData("vllm:num_requests_running")]
    [InlineData("vllm:num_requests_running{")]
    [InlineData("vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\nvllm:kv_cache_usage_perc -1")]
    [InlineData("vllm:num_requests_running{a=\"b\"} 3x\nvllm:num_requests_running five\n{} 1\n 1\n\n")]
    [InlineData("other_metric 3\nnum_requests_running 4")]
    public void Lines_are_no_figures_There_are_none(string text) => Assert.Null(Read(text));

    [Fact]
    public void Bytes_are_random_Nothing_is_thrown()
    {
        var random = new Random(7);
        var line = Encoding.UTF8.GetBytes("vllm:num_requests_running{engine=\"0\"} 3.0\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n");
        for (var i = 0; i < 20_000; i++)
        {
            byte[] bytes = [.. line];
            for (var change = random.Next(1, 6); change > 0; change--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            if (HostFigures.Read(bytes) is not { } figures) continue;
            Assert.True(figures.Running is null || (figures.Running >= 0 && double.IsFinite(figures.Running.Value)));
            Assert.True(figures.KvUsage is null or (>= 0 and <= 1));
        }
    }
}
