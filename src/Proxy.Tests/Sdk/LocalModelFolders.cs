using System.Text.Json.Nodes;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Sdk;

/// <summary>
/// A folder of models for a proxy under test: <c>tiny</c> and <c>tiny-short</c> embed, and the vectors of the second may be cut; <c>cross</c> and <c>late</c>
/// rerank. <c>raw</c>, which is not in the configuration, averages the tokens' vectors and does not normalise the result.
/// </summary>
internal sealed class LocalModelFolders : IDisposable
{
    /// <summary>The number of checks in <c>local.mjs</c>.</summary>
    public const int ThingsInJavaScript = 14;

    /// <summary>The number of checks in <c>local_client.py</c>.</summary>
    public const int ThingsInPython = 5;

    private static readonly (string Name, string Folder)[] Models =
        [("tiny", "tiny-bpe-embed"), ("tiny-short", "tiny-bpe-embed"), ("cross", "tiny-wordpiece-rerank"), ("late", "tiny-wordpiece-colbert")];

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("models-");

    public LocalModelFolders()
    {
        foreach (var (name, from) in Models) Copy(TestModels.Folder(from), System.IO.Path.Combine(Path, name));
        Copy(TestModels.Folder("tiny-bpe-embed"), System.IO.Path.Combine(Path, "raw"));
        Change(System.IO.Path.Combine(Path, "raw", "modules.json"), static modules => modules.AsArray().RemoveAt(2));
        Change(System.IO.Path.Combine(Path, "raw", "1_Pooling", "config.json"),
            static pooling => (pooling["pooling_mode_lasttoken"], pooling["pooling_mode_mean_tokens"]) = (false, true));
        Change(System.IO.Path.Combine(Path, "tiny-short", "config.json"), static config => config["matryoshka_dimensions"] = new JsonArray(64, 32, 16));
    }

    /// <summary>The folder with the reference's answers.</summary>
    public static string Golden => TestModels.Folder("");

    public string Path => folder.FullName;

    /// <summary>The configuration sections of the models.</summary>
    /// <param name="at">The path under which the proxy finds the folder.</param>
    public static string Sections(string at) => string.Concat(Models.Select(model => $"""

        [[inference.models]]
        name = "{model.Name}"
        path = "{at}/{model.Name}"

        """));

    public void Dispose() => folder.Delete(recursive: true);

    /// <summary>Copies the models' files, without the reference's answers.</summary>
    internal static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            if (file.EndsWith(".jsonl", StringComparison.Ordinal)) continue;
            var target = System.IO.Path.Combine(to, System.IO.Path.GetRelativePath(from, file));
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    internal static void Change(string file, Action<JsonNode> change)
    {
        var json = JsonNode.Parse(File.ReadAllText(file))!;
        change(json);
        File.WriteAllText(file, json.ToJsonString());
    }
}
