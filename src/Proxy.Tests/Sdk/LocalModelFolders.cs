using System.Text.Json.Nodes;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Sdk;

/// <summary>A folder of models for a proxy under test: <c>tiny</c> and <c>tiny-short</c> embed, the second is made for cutting; <c>cross</c> and <c>late</c> rerank. <c>raw</c>, not in the configuration, has the mean of the tokens' vectors, and nothing scales it.</summary>
internal sealed class LocalModelFolders : IDisposable
{
    /// <summary>What <c>local.mjs</c> tries.</summary>
    public const int ThingsInJavaScript = 14;

    /// <summary>What <c>local_client.py</c> tries.</summary>
    public const int ThingsInPython = 5;

    private static readonly (string Name, string Folder)[] Models =
        [("tiny", "tiny-bpe-embed"), ("tiny-short", "tiny-bpe-embed"), ("cross", "tiny-wordpiece-rerank"), ("late", "tiny-wordpiece-colbert")];

    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("models-");

    public LocalModelFolders()
    {
        foreach (var (name, from) in Models) Copy(TestModels.Folder(from), System.IO.Path.Combine(Path, name));
        Copy(TestModels.Folder("tiny-bpe-embed"), System.IO.Path.Combine(Path, "raw"));
        Change(System.IO.Path.Combine(Path, "raw", "modules.json"), static modules => modules.AsArray().RemoveAt(2));
        Change(System.IO.Path.Combine(Path, "raw", "1_Pooling", "config.json"), static pooling => (pooling["pooling_mode_lasttoken"], pooling["pooling_mode_mean_tokens"]) = (false, true));
        Change(System.IO.Path.Combine(Path, "tiny-short", "config.json"), static config => config["matryoshka_dimensions"] = new JsonArray(64, 32, 16));
    }

    /// <summary>The folder with the reference's answers.</summary>
    public static string Golden => TestModels.Folder("");

    public string Path => folder.FullName;

    /// <summary>The models as the configuration names them.</summary>
    /// <param name="at">Where the proxy finds the folder.</param>
    public static string Sections(string at) => string.Concat(Models.Select(model => $"""

        [[inference.models]]
        name = "{model.Name}"
        path = "{at}/{model.Name}"

        """));

    public void Dispose() => folder.Delete(recursive: true);

    /// <summary>Copies what is served, without the answers.</summary>
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
