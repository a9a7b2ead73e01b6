using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Chat;
using Proxy.Knowledge;
using Proxy.Knowledge.Analysis;
using Proxy.Knowledge.Ingest;
using Proxy.Knowledge.Search;
using Proxy.Tests.Harness;
using Proxy.Vectors;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// A proxy whose workspaces answer as the test says, in front of a host of each dialect. The owner <c>local</c> has the workspaces <c>docs</c>, <c>wiki</c> and
/// <c>empty</c> (in which nothing is found), the key <c>other</c> has <c>secret</c>.
/// </summary>
public sealed class RagHouse : IAsyncLifetime
{
    internal static readonly string[] Families = ["openai", "responses", "ollama", "anthropic"];

    private readonly Dictionary<string, FakeBackend> hosts = [];
    private RoutedProxy? proxy;

    internal RoutedProxy Proxy => proxy!;

    internal MemoryKnowledgeStore Store { get; } = new();

    internal ScriptedSearch Search { get; } = new();

    internal FakeBackend Host(string family) => hosts[family];

    /// <summary>The id of a workspace.</summary>
    internal static string Id(string name) => $"vs_{name}";

    public async ValueTask InitializeAsync()
    {
        var sections = new StringBuilder();
        foreach (var family in Families)
        {
            hosts[family] = FakeBackend.Start();
            hosts[family].Answer(TranscriptHost.AnswerAsync);
            sections.AppendLine($"""
                [[backends]]
                name = "{family}"
                url = "{hosts[family].Url}"
                dialects = ["{family}"]
                models = ["{family}-tiny"]
                """);
        }

        foreach (var (name, more) in new[]
        {
            ("limited", "workspaces = [\"wi*\"]"), ("other", ""), ("boss", "admin = true"), ("wiki-only", "models = [\"ollama*\"]"),
        })
        {
            sections.AppendLine($"""
                [[auth.keys]]
                name = "{name}"
                sha256 = "{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes("sk-" + name)))}"
                {more}
                """);
        }

        foreach (var (name, owner) in new[] { ("docs", "local"), ("wiki", "local"), ("empty", "local"), ("secret", "other") })
        {
            await Store.SaveAsync(
                new Workspace { Id = Id(name), Name = name, Owner = owner, CreatedAt = DateTimeOffset.UnixEpoch, LastActiveAt = DateTimeOffset.UnixEpoch },
                TestContext.Current.CancellationToken);
        }

        proxy = await RoutedProxy.StartAsync($"""
            {FrontDoor.Server("keepalive_after = \"1h\"", "epoll")}
            [inference]
            bundled = false
            [log]
            format = "json"
            [auth]
            allow_anonymous = true
            [knowledge]
            listed = ["openai-tiny#docs", "openai-tiny#secret", "gone#docs"]
            [[backends]]
            name = "echo"
            url = "builtin:echo"
            models = ["echo"]
            {sections}
            """, static _ => [], more: parts => parts.Knowledge = Make());
    }

    public async ValueTask DisposeAsync()
    {
        if (proxy is not null) await proxy.DisposeAsync();
        foreach (var host in hosts.Values) await host.DisposeAsync();
    }

    internal Task<(RawReply Reply, CallLine Line)> AskAsync(string path, string body, params string[] headers) =>
        Proxy.CallAsync(path, body, path == "/v1/messages" ? [.. headers, "anthropic-version: 2023-06-01"] : headers);

    /// <summary>What a host was asked in a call.</summary>
    internal FakeRequest Asked(string family, RawReply reply) => Host(family).Calls.Last(call => call.Header("x-trace-id") == reply.TraceId);

    /// <summary>How often a host was asked in a call.</summary>
    internal int Calls(string family, RawReply reply) => Host(family).Calls.Count(call => call.Header("x-trace-id") == reply.TraceId);

    internal static SearchHit Hit(string text, string file = "guide.md", string heading = "", double score = 0.8, int? page = null) => new(
        new() { Id = "vs_docs", Name = "docs", Owner = "local", CreatedAt = default, LastActiveAt = default },
        new()
        {
            Workspace = "vs_docs", FileId = "file-" + file[..file.IndexOf('.', StringComparison.Ordinal)], Name = file, Sha256 = "", CreatedAt = default,
            Attributes = """{"team":"ops"}""",
        },
        [new StoredChunk(1, "file-" + file, 3, text) { Heading = heading, Page = page }], text, score);

    private KnowledgeParts Make()
    {
        var models = new KnowledgeModels(new NoModels(), [], null);
        var reembedding = new Reembedding(Store, models);
        var ingest = new IngestQueue(Store, models, reembedding, new TextAnalyzer(), NullLogger.Instance, TimeProvider.System);
        return new(Store, models, new WorkspaceAccess(Store, Search, ingest, TimeProvider.System), ingest, reembedding);
    }

    private sealed class NoModels : IVectorModels
    {
        public IEmbedder? Embedder(string name) => null;

        public IReranker? Reranker(string name) => null;
    }

    /// <summary>Finds what the query's script says; else two passages, and none in the workspace <c>empty</c>.</summary>
    internal sealed class ScriptedSearch : IKnowledgeSearch
    {
        public event Action<IReadOnlyList<StageTime>>? Timed
        {
            add { }
            remove { }
        }

        private readonly ConcurrentQueue<(IReadOnlyList<Workspace> Workspaces, SearchRequest Request)> searches = new();

        /// <summary>What is found for a query that contains the key.</summary>
        public ConcurrentDictionary<string, SearchHit[]> Found { get; } = new();

        /// <summary>The searches whose query contains a text.</summary>
        public IReadOnlyList<(IReadOnlyList<Workspace> Workspaces, SearchRequest Request)> Of(string text) =>
            [.. searches.Where(one => one.Request.Queries[0].Contains(text, StringComparison.Ordinal))];

        public ValueTask<(SearchOutcome? Outcome, ProxyError? Error)> SearchAsync(
            IReadOnlyList<Workspace> workspaces, SearchRequest request, CancellationToken cancellation)
        {
            searches.Enqueue((workspaces, request));
            if (request.Queries[0].Contains("busy", StringComparison.Ordinal))
                return new((null, new ProxyError(ProxyErrorKind.QueueFull, "the embedding model is busy")));
            IReadOnlyList<SearchHit> hits = workspaces.All(static one => one.Name == "empty") ? []
                : Found.FirstOrDefault(pair => request.Queries[0].Contains(pair.Key, StringComparison.Ordinal)).Value
                    ?? [Hit("The queue holds for 3 min.", "guide.md", "Queues › Limits"), Hit("Handbücher sind grün.", "händbook.pdf", score: 0.41, page: 7)];
            var trace = !request.Trace ? null : new SearchTrace(
                [new("embed", 1.25), new("lexical", 0.5)],
                [new("file-guide", "guide.md", 3) { LexicalRank = 1, Lexical = 7.5, DenseRank = 2, Cosine = 0.8, FusedRank = 1, Fused = 1.9 }]);
            return new((new SearchOutcome([.. hits.Take(request.Most)], trace), null));
        }
    }
}
