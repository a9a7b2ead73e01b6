using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Config;
using Proxy.Inference;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Inference;

/// <summary>The models of the tests, opened as the program opens them. Each is loaded once for all tests.</summary>
internal static class TestModels
{
    private static readonly InferenceConfig Settings = new() { Threads = 1 };

    private static readonly Lazy<LocalModel> Minilm = new(static () => LocalModels.Bundled(Settings, NullLogger.Instance));

    private static readonly Lazy<LocalModel> UnigramModel = new(static () => Open("tiny-unigram-embed"));

    private static readonly Lazy<LocalModel> BpeModel = new(static () => Open("tiny-bpe-embed"));

    private static readonly Lazy<LocalModel> RerankModel = new(static () => Open("tiny-wordpiece-rerank"));

    private static readonly Lazy<LocalModel> ColbertModel = new(static () => Open("tiny-wordpiece-colbert"));

    public static OnnxEmbedder Bundled => (OnnxEmbedder)Minilm.Value;

    public static OnnxEmbedder Unigram => (OnnxEmbedder)UnigramModel.Value;

    public static OnnxEmbedder Bpe => (OnnxEmbedder)BpeModel.Value;

    public static OnnxReranker Rerank => (OnnxReranker)RerankModel.Value;

    public static LateInteractionModel Colbert => (LateInteractionModel)ColbertModel.Value;

    public static string Folder(string name) => Path.Combine(Repository.Root, "src/Proxy.Tests/Models", name);

    public static LocalModel Open(string name) => LocalModels.Make(new() { Name = name, Path = Folder(name) }, Settings, NullLogger.Instance);

    public static IEnumerable<JsonElement> Lines(string model, string file) =>
        File.ReadLines(Path.Combine(Folder(model), file)).Select(static line => JsonDocument.Parse(line).RootElement.Clone());

    public static string Said(this JsonElement line, string name) => line.GetProperty(name).GetString()!;

    public static float[]? Vector(this JsonElement line) =>
        line.TryGetProperty("vector", out var vector) ? [.. vector.EnumerateArray().Select(static number => number.GetSingle())] : null;
}
