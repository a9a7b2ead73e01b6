using System.Text.RegularExpressions;

namespace Proxy.Inference;

/// <summary>A repository's files: their names as the hub lists them, and the content of those that are downloaded already.</summary>
internal sealed partial class HubFiles(HubListing listing, string folder) : ModelFiles
{
    private static readonly string[] Described =
    [
        "config.json", ModelFolder.Tokenizer, "tokenizer_config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
        "artifact.metadata",
    ];

    public override string NameOf(string path) => $"{path} of {listing.Name}";

    public override bool Has(string path) => listing.Find(path) is not null;

    public override byte[] Read(string path) => File.ReadAllBytes(Path.Combine(folder, path));

    public override long Length(string path) => listing.Find(path)?.Size ?? throw new FileNotFoundException(NameOf(path));

    public override IReadOnlyList<string> Graphs() =>
        [.. listing.Files.Select(static file => file.Path).Where(static path => Graph().IsMatch(path)).Order(StringComparer.Ordinal)];

    public override FileLease Lease(string path) => throw new NotSupportedException("a model cannot run before it is downloaded completely");

    /// <summary>The small files that describe the model.</summary>
    public IReadOnlyList<HubFile> Descriptions() => [.. listing.Files.Where(static file => Described.Contains(file.Path) || Module().IsMatch(file.Path))];

    /// <summary>The graph, and the files with its weights beside it, because one file cannot hold more than 2 GB.</summary>
    public IReadOnlyList<HubFile> Weights(string graph) =>
        [.. listing.Files.Where(file => file.Path == graph
            || (file.Path.StartsWith(graph, StringComparison.Ordinal) && Outside().IsMatch(file.Path.AsSpan(graph.Length))))];

    [GeneratedRegex(@"^(onnx/)?\w[\w.\-]*\.onnx\z", RegexOptions.ECMAScript)]
    private static partial Regex Graph();

    [GeneratedRegex(@"^[0-9]+_\w+/config\.json\z", RegexOptions.ECMAScript)]
    private static partial Regex Module();

    [GeneratedRegex(@"^[._]data[\w.\-]*\z", RegexOptions.ECMAScript)]
    private static partial Regex Outside();
}
