using System.Text;
using Proxy.Http;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Http;

/// <summary>Calls that the drain or the client cuts off, and what the log says of them.</summary>
public sealed class InterruptedCallTests
{
    private const string Content = """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hello"}}]}""" + "\n\n";
    private const string Done =
        """data: {"id":"1","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}""" + "\n\ndata: [DONE]\n\n";

    [Fact]
    public async Task Drain_cuts_a_copied_answer_off_The_log_does_not_blame_the_client()
    {
        var config = House.At("a", "m");
        await using var edge = await Edge.StartAsync(config);
        edge.House.Plays("a", Script.Answer(200, "audio/mpeg", "half", Step.Silence));
        using var request = Post("/v1/audio/speech", """{"model":"m"}""");
        var reply = await edge.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await edge.House.Hosts["a"].Exchanges[0].Waiting;
        foreach (var call in edge.Calls.Snapshot()) call.Interrupt(ActiveCalls.ShuttingDown);
        await Assert.ThrowsAnyAsync<Exception>(() => reply.Content.ReadAsStringAsync());

        Assert.Contains("outcome=drained fault=proxy", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Keep_alive_before_a_whole_frame_The_hosts_content_type_stays()
    {
        await using var edge = await Edge.StartAsync(House.At("a", "m"));
        // More than the preamble's limit, and no whole frame yet: nothing was written when the host falls silent.
        edge.House.Plays("a",
            Script.Answer(200, "text/event-stream; charset=utf-8", ": " + new string('x', 300_000), Step.Quiet, "\n\n" + Content + Done, Step.End));
        var (_, _, reply) = await edge.SendAsync("POST", "/v1/chat/completions", Chat(true));
        Assert.Equal("text/event-stream; charset=utf-8", reply.Content.Headers.ContentType!.ToString());
    }

    [Fact]
    public async Task Translated_client_gone_in_the_middle_It_is_its_own_doing()
    {
        await using var edge = await Edge.StartAsync(House.At("a", "m"));
        edge.House.Plays("a", Script.Stream(Content, Step.Silence));
        using (var gone = new CancellationTokenSource())
        {
            using var request = Post("/api/chat", Chat(true));
            using var reply = await edge.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, gone.Token);
            await edge.House.Hosts["a"].Exchanges[0].Waiting;
        }

        var line = Assert.Single(edge.Log());
        Assert.Contains("outcome=client_left fault=client", line, StringComparison.Ordinal);
        Assert.Contains("status=499", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/api/chat")]
    [InlineData("/v1/chat/completions")]
    public async Task Drain_in_the_middle_of_a_stream_Outcome_is_drained_and_the_error_is_the_last_frame(string path)
    {
        await using var edge = await Edge.StartAsync(House.At("a", "m"));
        edge.House.Plays("a", Script.Stream(Content, "data: {\"half", Step.Silence));
        using var request = Post(path, Chat(true));
        using var reply = await edge.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await edge.House.Hosts["a"].Exchanges[0].Waiting;
        foreach (var call in edge.Calls.Snapshot()) call.Interrupt(ActiveCalls.ShuttingDown);
        var text = await reply.Content.ReadAsStringAsync();
        Assert.Contains("shutting down", text, StringComparison.Ordinal);
        Assert.DoesNotContain("half", text, StringComparison.Ordinal);
        Assert.Contains("outcome=drained fault=proxy", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Embedding_is_relayed_The_first_token_is_the_answers_beginning_and_not_its_end()
    {
        await using var edge = await Edge.StartAsync(House.At("a", "m"));
        edge.House.Plays("a", Script.Answer(200, "application/json", """{"object":"list","data":[""", Step.Silence));
        var sending = edge.SendAsync("POST", "/v1/embeddings", """{"model":"m","input":"x"}""");
        while (edge.House.Hosts["a"].Exchanges.Count == 0) await Task.Yield();
        await edge.House.Hosts["a"].Exchanges[0].Waiting;
        foreach (var call in edge.Calls.Snapshot()) call.Interrupt(ActiveCalls.ShuttingDown);
        await sending;
        Assert.Contains("first_token_ms", Assert.Single(edge.Log()), StringComparison.Ordinal);
    }

    private static HttpRequestMessage Post(string path, string body) =>
        new(HttpMethod.Post, path) { Content = new StringContent(body, Encoding.UTF8, "application/json") };

    private static string Chat(bool stream) => $$"""{"model":"m","stream":{{(stream ? "true" : "false")}},"messages":[{"role":"user","content":"hi"}]}""";
}
