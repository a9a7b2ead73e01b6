using Proxy.Tests.Harness;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Sdk;

/// <summary>Vectors and scores over HTTP against onnxruntime for node, on the same machine.</summary>
[Trait("Category", "Sdk")]
public sealed class ParitySdkTests
{
    /// <summary>The int8 graph as published: 23 MB, so not in the repository; compared where it lies beside it.</summary>
    private static string Int8 => Path.Combine(Script.Root, "..", "shared", "models", "all-MiniLM-L6-v2");

    [Fact]
    public async Task Vectors_and_late_interaction_Are_those_of_onnxruntime_for_node()
    {
        var hasInt8 = Directory.Exists(Int8);
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server() + $"""

            [log]
            format = "json"
            [[inference.models]]
            name = "late"
            path = "{TestModels.Folder("tiny-wordpiece-colbert")}"
            {(hasInt8 ? $"""
            [[inference.models]]
            name = "int8"
            path = "{Path.GetFullPath(Int8)}"
            """ : "")}
            """);
        var graphs = new List<string> { "all-minilm-q4", Path.Combine(Script.Root, "models", "all-minilm", "onnx", "model.onnx") };
        if (hasInt8) graphs.AddRange(["int8", Path.Combine(Int8, "onnx", "model_quantized.onnx")]);

        var worked = await Script.NodeAsync("parity.mjs", proxy.Address, [TestModels.Folder(""), .. graphs]);

        Assert.Equal(["maxsim_is_a_double_loop", "vectors_of_all-minilm-q4", .. hasInt8 ? (string[])["vectors_of_int8"] : []], worked);
    }
}
