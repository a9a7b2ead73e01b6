using System.Text.Json;
using Proxy.Knowledge.Filters;
using Proxy.Tests.EndToEnd;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http.Knowledge;

/// <summary>What a search over HTTP asks for, and how its hits are written.</summary>
public sealed class SearchEndpointTests(RagHouse house) : IClassFixture<RagHouse>
{
    private const string Path = "/v1/vector_stores/docs/search";

    [Fact]
    public async Task Hits_AreWritten_AsOpenAIWritesThem()
    {
        var (reply, line) = await house.AskAsync(Path, """{"query":"how long are queues held"}""");

        Assert.Equal(200, reply.Status);
        OpenApiSchema.OpenAi.Valid("VectorStoreSearchResultsPage", reply.Text);
        Assert.Equal("""
            {"object":"vector_store.search_results.page","search_query":["how long are queues held"],"data":[{"file_id":"file-guide","filename":"guide.md",
            "score":0.8,"attributes":{"team":"ops"},"content":[{"type":"text","text":"The queue holds for 3 min."}]},{"file_id":"file-händbook",
            "filename":"händbook.pdf","score":0.41,"attributes":{"team":"ops"},"content":[{"type":"text","text":"Handbücher sind grün."}]}],
            "has_more":false,"next_page":null}
            """.ReplaceLineEndings(""), reply.Text);
        Assert.Equal("/v1/vector_stores/{vector_store_id}/search", line["surface"]);
        var (workspaces, request) = Assert.Single(house.Search.Of("how long are queues held"));
        Assert.Equal(RagHouse.Id("docs"), Assert.Single(workspaces).Id);
        Assert.Equal((10, null, null, null, 0.6, 0.4, false, false), (request.Most, request.Filter, request.Threshold, request.Rerank, request.DenseWeight,
            request.LexicalWeight, request.Join, request.Trace));
    }

    [Fact]
    public async Task Options_AreTaken()
    {
        var (reply, _) = await house.AskAsync(Path, """
            {"query":["all options","second"],"max_num_results":1,"rewrite_query":true,"filters":{"type":"eq","key":"team","value":"ops"},"other":1,
             "ranking_options":{"ranker":"none","score_threshold":0.25,"hybrid_search":{"embedding_weight":3,"text_weight":1}}}
            """, "x-rag-trace: 1");

        OpenApiSchema.OpenAi.Valid("VectorStoreSearchResultsPage", reply.Text);
        Assert.Equal(1, reply.Json.GetProperty("data").GetArrayLength());
        var request = Assert.Single(house.Search.Of("all options")).Request;
        Assert.Equal(["all options", "second"], request.Queries);
        Assert.Equal((1, 0.25, (bool?)false, 0.75, 0.25, true), (request.Most, request.Threshold, request.Rerank, request.DenseWeight, request.LexicalWeight,
            request.Trace));
        Assert.Equal("team", Assert.IsType<AttributeFilter.Comparison>(request.Filter).Key);
        var trace = JsonElement.Parse(reply.Header("x-rag-trace")!);
        Assert.Equal(("all options", 1.25), (trace.GetProperty("query").GetString(), trace.GetProperty("stages").GetProperty("embed").GetDouble()));
    }

    [Theory]
    [InlineData("{}", "query")]
    [InlineData("""{"query":""}""", "query")]
    [InlineData("""{"query":[]}""", "query")]
    [InlineData("""{"query":["a"," "]}""", "query")]
    [InlineData("""{"query":["a",1]}""", "query[1]")]
    [InlineData("""{"query":5}""", "query")]
    [InlineData("""{"query":"a","max_num_results":0}""", "max_num_results")]
    [InlineData("""{"query":"a","max_num_results":51}""", "max_num_results")]
    [InlineData("""{"query":"a","max_num_results":"5"}""", "max_num_results")]
    [InlineData("""{"query":"a","rewrite_query":1}""", "rewrite_query")]
    [InlineData("""{"query":"a","filters":{"type":"near","key":"a","value":1}}""", "filters")]
    [InlineData("""{"query":"a","ranking_options":[]}""", "ranking_options")]
    [InlineData("""{"query":"a","ranking_options":{"ranker":"best"}}""", "ranking_options.ranker")]
    [InlineData("""{"query":"a","ranking_options":{"score_threshold":1.1}}""", "ranking_options.score_threshold")]
    [InlineData("""{"query":"a","ranking_options":{"hybrid_search":{"embedding_weight":-1,"text_weight":1}}}""",
        "ranking_options.hybrid_search.embedding_weight")]
    [InlineData("""{"query":"a","ranking_options":{"hybrid_search":{"embedding_weight":0,"text_weight":0}}}""",
        "ranking_options.hybrid_search.embedding_weight")]
    public async Task WrongMember_IsNamed(string body, string param)
    {
        var (reply, _) = await house.AskAsync(Path, body);

        Assert.Equal((400, param), (reply.Status, reply.Json.GetProperty("error").GetProperty("param").GetString()));
        OpenApiSchema.OpenAi.Valid("ErrorResponse", reply.Text);
    }

    [Fact]
    public async Task BusyModel_IsA503_AndAForeignWorkspaceA404()
    {
        var (busy, _) = await house.AskAsync(Path, """{"query":"busy"}""");
        var (foreign, _) = await house.AskAsync("/v1/vector_stores/secret/search", """{"query":"a foreign one"}""");

        Assert.Equal((503, "queue_full"), (busy.Status, busy.ErrorCode));
        Assert.Equal((404, "workspace_not_found"), (foreign.Status, foreign.ErrorCode));
        Assert.Empty(house.Search.Of("a foreign one"));
    }
}
