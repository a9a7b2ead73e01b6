namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> KnowledgeHints = new()
    {
        ["model"] = "write embedder",
        ["embedding_model"] = "write embedder",
        ["embedders"] = "write embedder = [\"NAME\", \"NAME\"]",
        ["rerank_model"] = "write reranker",
        ["max_file_size"] = "write file_limit",
        ["models"] = "write listed = [\"MODEL#WORKSPACE\"]",
        ["qdrant"] = "documents are kept in SQLite, or in PostgreSQL with pgvector where [store] has kind = \"postgres\"",
    };

    private static KnowledgeConfig ReadKnowledge(SectionReader file, ConfigSources sources)
    {
        var defaults = new KnowledgeConfig { Folder = KnowledgeFolder(sources) };
        if (!file.Has("knowledge")) return defaults;
        var section = file.Section("knowledge", KnowledgeHints);
        return new()
        {
            Enabled = section.Truth("enabled", defaults.Enabled),
            FileLimit = section.Size("file_limit", defaults.FileLimit),
            Embedders = section.TextOrTexts("embedder"),
            Reranker = section.Text("reranker"),
            Listed = section.Texts("listed", []),
            Folder = defaults.Folder,
        };
    }

    private static string? KnowledgeFolder(ConfigSources sources) =>
        StateDirectory.Find(sources.Environment) is { } state ? Path.Combine(state, "knowledge") : null;
}
