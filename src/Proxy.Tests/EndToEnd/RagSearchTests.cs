using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Chats that are answered from documents by the search itself, with a model whose vectors the test gives.</summary>
public sealed class RagSearchTests : IAsyncLifetime
{
    private readonly SearchBox box = new();
    private readonly FakeBackend host = FakeBackend.Start();
    private RoutedProxy? proxy;

    public async ValueTask InitializeAsync()
    {
        host.Answer(TranscriptHost.AnswerAsync);
        var (first, second) = (await box.AddWorkspaceAsync(), await box.AddWorkspaceAsync());
        await box.AddAsync(first, "queues.md", """{"team":"ops"}""", [Chunk("The queue holds for three minutes.", [1, 0])]);
        await box.AddAsync(first, "colours.md", """{"team":"art"}""", [Chunk("Walls are painted green.", [0, 1])]);
        await box.AddAsync(second, "limits.md", """{"team":"art"}""", [Chunk("A queue has a limit of nine.", [1, 0.1f])]);
        var models = new KnowledgeModels(null!, [SearchBox.Model], null);
        var reembedding = new Reembedding(box.Store, models);
        var ingest = new IngestQueue(box.Store, models, reembedding, new TextAnalyzer(), NullLogger.Instance, TimeProvider.System);
        var knowledge = new WorkspaceAccess(box.Store, box.NewSearch(), ingest, TimeProvider.System);
        proxy = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server("", "epoll")}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{host.Url}"
            dialects = ["openai"]
            models = ["tiny"]
            """, static _ => [], more: parts => parts.Knowledge = new(box.Store, models, knowledge, ingest, reembedding));
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        await host.DisposeAsync();
    }

    [Fact]
    public async Task Several_workspaces_Query_is_embedded_once_and_their_passages_are_ranked_together()
    {
        var asked = await AskAsync("How long does the queue hold a call?", "x-workspace: w1,w2");

        Assert.Equal(["How long does the queue hold a call?"], Assert.Single(box.Embedder.Calls));
        Assert.Contains("source=\"queues.md\"", asked, StringComparison.Ordinal);
        Assert.Contains("source=\"limits.md\"", asked, StringComparison.Ordinal);
        Assert.DoesNotContain("colours", asked, StringComparison.Ordinal); // its cosine is below the threshold
    }

    [Fact]
    public async Task Nothing_reaches_the_threshold_Model_is_told_that_there_is_no_answer()
    {
        box.Embedder.Vectors["How long does the queue hold a call?"] = [-1, 0];

        var asked = await AskAsync("How long does the queue hold a call?", "x-workspace: w1,w2");

        Assert.DoesNotContain("<passage", asked, StringComparison.Ordinal);
        Assert.Contains("the documents have no answer", asked, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Filter_is_given_Only_files_that_pass_are_found()
    {
        var asked = await AskAsync("How long does the queue hold a call?", "x-workspace: w1,w2", """x-rag-filter: {"type":"eq","key":"team","value":"art"}""");

        Assert.DoesNotContain("queues.md", asked, StringComparison.Ordinal);
        Assert.Contains("limits.md", asked, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Search_is_traced_Answer_tells_stages_and_ranks()
    {
        var (reply, _) = await proxy!.CallAsync("/v1/chat/completions", Body("How long does the queue hold a call?"), "x-workspace: w1", "x-rag-trace: 1");

        var trace = System.Text.Json.JsonElement.Parse(reply.Header("x-rag-trace")!);
        Assert.NotEmpty(trace.GetProperty("stages").EnumerateObject());
        Assert.Equal("queues.md", trace.GetProperty("candidates")[0].GetProperty("filename").GetString());
    }

    private static NewChunk Chunk(string text, float[] vector) => new() { Text = text, Vectors = [SearchBox.Unit(vector)], Terms = null! };

    private static string Body(string question) => OpenAi.Request("tiny", text: question);

    private async Task<string> AskAsync(string question, params string[] headers)
    {
        var (reply, _) = await proxy!.CallAsync("/v1/chat/completions", Body(question), headers);
        Assert.True(reply.Status == 200, reply.Text);
        return host.Calls[^1].Json.GetProperty("messages")[0].GetProperty("content").GetString()!;
    }
}
