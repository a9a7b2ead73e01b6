namespace Proxy.Config;

/// <summary>The <c>[knowledge]</c> section: workspaces of documents. Knowledge is on without it.</summary>
internal sealed record KnowledgeConfig
{
    /// <summary>False: no workspaces; their URLs say so.</summary>
    public bool Enabled { get; init; } = true;

    /// <summary>The largest file that is taken, in bytes.</summary>
    public long FileLimit { get; init; } = 512_000_000;

    /// <summary>The models that embed, at most two; empty: the first of this process.</summary>
    public IReadOnlyList<string> Embedders { get; init; } = [];

    /// <summary>The model that reranks; null: the first reranker of this process, if there is one.</summary>
    public string? Reranker { get; init; }

    /// <summary>Pairs such as <c>qwen3:8b#docs</c> that the model lists show.</summary>
    public IReadOnlyList<string> Listed { get; init; } = [];

    /// <summary>The folder of the embedded database; null: there is no state directory, so there is no knowledge without PostgreSQL. Not a setting.</summary>
    public string? Folder { get; init; }
}
