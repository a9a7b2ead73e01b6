using Proxy.Tests.Harness;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Sdk;

/// <summary>Compares vectors and scores over HTTP with onnxruntime for node on the same machine.</summary>
[Trait("Category", "Sdk")]
public sealed class ParitySdkTests
{
    [Fact]
    public Task Vectors_of_the_bundled_model_and_late_interaction_Are_those_of_onnxruntime_for_node() =>
        SameAsync("all-minilm-q4", Path.Combine(Script.Root, "models", "all-minilm", "onnx", "model.onnx"));

    [Fact]
    public Task Vectors_of_an_int8_graph_Are_those_of_onnxruntime_for_node()
    {
        var graph = Int8();
        Assert.SkipWhen(graph is null,
            "needs the int8 graph of all-MiniLM-L6-v2: dist/proxy models pull sentence-transformers/all-MiniLM-L6-v2 --variant int8 (23 MB of a hub)");
        return SameAsync("int8", graph!, $"""
            [[inference.models]]
            name = "int8"
            path = "{Path.GetDirectoryName(Path.GetDirectoryName(graph!))}"
            """);
    }

    private static async Task SameAsync(string model, string graph, string section = "")
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server() + $"""

            [log]
            format = "json"
            [[inference.models]]
            name = "late"
            path = "{TestModels.Folder("tiny-wordpiece-colbert")}"
            {section}
            """);

        var worked = await Script.NodeAsync("parity.mjs", proxy.Address, TestModels.Folder(""), model, graph);

        Assert.Equal(["maxsim_is_a_double_loop", $"vectors_of_{model}"], worked);
    }

    /// <summary>The published int8 graph has 23 MB and is not in the repository: it lies beside the repository, or was pulled.</summary>
    private static string? Int8()
    {
        var state = Environment.GetEnvironmentVariable("STATE_DIRECTORY")
            ?? Path.Combine(Environment.GetEnvironmentVariable("XDG_DATA_HOME")
                ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "share"), "proxy");
        string[] folders = [Path.Combine(Script.Root, "..", "shared", "models", "all-MiniLM-L6-v2"),
            Path.Combine(state, "models", "sentence-transformers", "all-MiniLM-L6-v2")];
        return folders.Select(static folder => new DirectoryInfo(Path.Combine(folder, "onnx")))
            .Where(static folder => folder.Exists)
            .SelectMany(static folder => folder.EnumerateFiles("*.onnx"))
            .FirstOrDefault(static file => file.Name.Contains("quantized", StringComparison.Ordinal)
                || file.Name.Contains("int8", StringComparison.Ordinal))?.FullName;
    }
}
