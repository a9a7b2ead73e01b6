namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> ModelHints = new()
    {
        ["model"] = "write name",
        ["folder"] = "write path",
        ["type"] = "write kind",
        ["quantization"] = "write variant",
        ["batch_size"] = "write batch_tokens; a batch is limited by its tokens",
    };

    private static readonly string[] Kinds = ["embed", "rerank", "late-interaction"];

    private static InferenceConfig ReadInference(SectionReader section, ConfigSources sources)
    {
        var defaults = new InferenceConfig();
        return new()
        {
            Bundled = section.Truth("bundled", defaults.Bundled),
            Threads = section.Whole("threads", least: 1, most: 256),
            BatchTokens = section.Whole("batch_tokens", least: 64, most: 1 << 20) ?? defaults.BatchTokens,
            Queue = section.Whole("queue", least: 1) ?? defaults.Queue,
            Models = [.. section.Sections("models", ModelHints).Select(model => ReadModel(model, sources))],
        };
    }

    private static InferenceModelConfig ReadModel(SectionReader section, ConfigSources sources)
    {
        var path = section.Required("path", "\"/var/lib/proxy/models/bge-small\"");
        var kind = Array.IndexOf(Kinds, section.Choice("kind", "", Kinds));
        var model = new InferenceModelConfig
        {
            Name = section.Required("name", "\"bge-small\""),
            Path = path.Length > 0 ? ModelsFolder.Resolve(path, sources) : "",
            Kind = kind < 0 ? null : (InferenceKind)kind,
            Variant = section.Choice("variant", "auto", "auto", "fp32", "int8", "q4"),
            Threads = section.Whole("threads", least: 1, most: 256),
            BatchTokens = section.Whole("batch_tokens", least: 64, most: 1 << 20),
            Queue = section.Whole("queue", least: 1),
        };
        if (path.Length > 0 && sources.ModelProblem(model) is { } problem) section.Refuse("path", problem);
        return model;
    }
}
