namespace Proxy.Config;

internal static partial class ConfigRules
{
    private const int MostEmbedders = 2;
    private const long LeastFileLimit = 1024, MostFileLimit = 1L << 36;

    private static IEnumerable<ConfigProblem> Knowledge(KnowledgeConfig knowledge)
    {
        if (knowledge.FileLimit is < LeastFileLimit or > MostFileLimit)
            yield return new("knowledge.file_limit", 0, $"{ByteSize.Text(knowledge.FileLimit)} is out of range; write \"1KiB\" to \"64GiB\"");
        if (knowledge.Embedders.Count > MostEmbedders)
            yield return new("knowledge.embedder", 0, $"names {knowledge.Embedders.Count} models; name one or two: every one computes vectors of every text");
        foreach (var pattern in Patterns(knowledge.Embedders, "knowledge.embedder")) yield return pattern;
        foreach (var name in knowledge.Embedders)
        {
            if (AddressProblem(name) is { } address) yield return new("knowledge.embedder", 0, address);
        }

        if (knowledge.Reranker is { } reranker && (AddressProblem(reranker) ?? PatternProblem(reranker)) is { } wrong)
            yield return new("knowledge.reranker", 0, wrong);
        for (var i = 0; i < knowledge.Listed.Count; i++)
        {
            var (pair, path) = (knowledge.Listed[i], $"knowledge.listed[{i}]");
            if (pair.LastIndexOf('#') is not (> 0 and var at) || at == pair.Length - 1)
                yield return new(path, 0, $"\"{pair}\" is not a pair; write \"MODEL#WORKSPACE\", for example \"qwen3:8b#docs\"");
            else if (PatternProblem(pair) is { } problem) yield return new(path, 0, problem);
            else if (knowledge.Listed.Take(i).Contains(pair)) yield return new(path, 0, $"\"{pair}\" is listed twice; keep one");
        }
    }

    /// <summary>What to do about an address where a model's name is wanted; null: it is a name.</summary>
    private static string? AddressProblem(string name)
    {
        if (name.StartsWith("grpc://", StringComparison.OrdinalIgnoreCase) || name.StartsWith("grpcs://", StringComparison.OrdinalIgnoreCase))
        {
            return "models at gRPC addresses are not supported; run the model in this process ([[inference.models]] with the path of its ONNX folder), "
                + "or run a proxy on that host, name it in [[backends]], and write the model's name here";
        }

        return name.Contains("://", StringComparison.Ordinal) ? "is an address; write the model's name, and name the host in [[backends]]" : null;
    }
}
