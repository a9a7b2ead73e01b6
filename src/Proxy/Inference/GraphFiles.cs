using System.Runtime.InteropServices;

namespace Proxy.Inference;

/// <summary>Chooses the graph of a folder. Several graphs hold the same weights in different precisions, which are part of their names.</summary>
internal static class GraphFiles
{
    public const string Auto = "auto";
    public const string Float = "fp32";
    public const string Eight = "int8";
    public const string Four = "q4";
    private const string Half = "fp16";

    /// <summary>The graph's path and its precision. Throws <see cref="ModelFolderException"/>.</summary>
    public static (string Path, string Variant) Choose(ModelFiles files, string asked)
    {
        var graphs = files.Graphs().Select(static path => (Path: path, Variant: VariantOf(path), Rank: Rank(path)))
            .Where(static graph => graph.Rank < Elsewhere).OrderBy(static graph => graph.Rank).ToArray();
        if (graphs.Length == 0) throw ModelFolder.Broken(files, "onnx/model.onnx", "is missing, and there is no other .onnx file");

        var order = asked == Auto ? [Float, Eight, Four, Half] : new[] { asked };
        foreach (var variant in order)
        {
            if (graphs.FirstOrDefault(graph => graph.Variant == variant) is { Path: { } path }) return (path, variant);
        }

        throw new ModelFolderException($"there is no {asked} among {string.Join(", ", graphs.Select(graph => files.NameOf(graph.Path)))}; "
            + $"leave variant out, or write {string.Join(" or ", graphs.Select(static graph => $"\"{graph.Variant}\"").Distinct())}");
    }

    private const int Elsewhere = 100;

    private static string VariantOf(string path)
    {
        var name = Path.GetFileNameWithoutExtension(path).ToLowerInvariant();
        return name.Contains("q4", StringComparison.Ordinal) || name.Contains("bnb4", StringComparison.Ordinal)
            || name.Contains("int4", StringComparison.Ordinal) ? Four
            : name.Contains("int8", StringComparison.Ordinal) || name.Contains("quantized", StringComparison.Ordinal)
                || name.Contains("q8", StringComparison.Ordinal) ? Eight
            : name.Contains("fp16", StringComparison.Ordinal) || name.EndsWith("o4", StringComparison.Ordinal) ? Half
            : Float;
    }

    /// <summary>Plain names first; graphs for another processor are excluded.</summary>
    private static int Rank(string path)
    {
        var name = Path.GetFileNameWithoutExtension(path).ToLowerInvariant();
        var forArm = name.Contains("arm64", StringComparison.Ordinal);
        var forIntel = name.Contains("avx", StringComparison.Ordinal);
        var isArm = RuntimeInformation.ProcessArchitecture is Architecture.Arm64;
        return (forArm && !isArm) || (forIntel && isArm) ? Elsewhere
            : name is "model" ? 0
            : name is "model_quantized" or "model_int8" or "model_q4" or "model_fp32" ? 1
            : name.Contains("f16", StringComparison.Ordinal) || name.Contains("avx512", StringComparison.Ordinal) ? 3
            : 2;
    }
}
