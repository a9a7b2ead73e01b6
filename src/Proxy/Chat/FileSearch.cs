using System.Text.Json;

namespace Proxy.Chat;

/// <summary>A search in documents that a request asks for with a tool of its dialect (OpenAI's <c>file_search</c>).</summary>
/// <param name="Stores">The ids or names of the workspaces to search, each once.</param>
internal sealed record FileSearch(IReadOnlyList<string> Stores)
{
    /// <summary>The place of the tool in the request, for errors: <c>tools[0]</c>.</summary>
    public string Place { get; init; } = "";

    /// <summary>The most passages; null: as usual.</summary>
    public int? Most { get; init; }

    /// <summary>The least score of a passage; null: as usual.</summary>
    public double? Threshold { get; init; }

    /// <summary>A filter over the attributes of files.</summary>
    public JsonElement? Filters { get; init; }

    /// <summary>False: no reranker ranks.</summary>
    public bool? Rerank { get; init; }

    /// <summary>The shares of words and of vectors in the ranking.</summary>
    public double? TextWeight { get; init; }
    public double? EmbeddingWeight { get; init; }

    /// <summary>The request forbids the use of its tools: nothing is searched.</summary>
    public bool IsForbidden { get; init; }

    /// <summary>The error if the tool is not valid.</summary>
    public ProxyError? Problem { get; init; }

    /// <summary>The edits that take the tool, and the results of earlier searches, out of what a host gets; sorted by position.</summary>
    public IReadOnlyList<BodyEdit> Edits { get; init; } = [];
}
