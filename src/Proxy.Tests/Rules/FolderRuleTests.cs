using System.Text.RegularExpressions;

namespace Proxy.Tests.Rules;

/// <summary>Checks every file against docs/ARCHITECTURE.md §4, which says which folder may use which.</summary>
public sealed partial class FolderRuleTests
{
    private static readonly string[] Everything = ["*"];

    /// <summary>
    /// The table of §4. A folder may always use itself. A subfolder that has a row of its own counts as a separate folder: its users must name it.
    /// </summary>
    private static readonly Dictionary<string, string[]> Allowed = new()
    {
        ["Buffers"] = [],
        ["Vectors"] = [],
        ["Config"] = [],
        ["Telemetry"] = ["Buffers"],
        ["Chat"] = ["Buffers"],
        ["Transport"] = ["Buffers", "Telemetry"],
        ["Transport.Loops"] = ["Transport", "Buffers"],
        ["Transport.Http1"] = ["Transport", "Transport.Loops", "Buffers"],
        ["Dialects"] = ["Chat", "Vectors", "Buffers"],
        ["Streams"] = ["Chat", "Buffers", "Telemetry"],
        ["Documents"] = ["Buffers"],
        ["Knowledge"] = ["Documents", "Vectors", "Chat", "Routes", "Buffers", "Config", "Telemetry"],
        ["Workflows"] = ["Chat", "Dialects", "Buffers", "Config", "Telemetry"],
        ["Store"] = ["Streams", "Knowledge", "Workflows", "Buffers", "Config", "Telemetry"],
        ["Nats"] = ["Streams", "Workflows", "Chat", "Dialects", "Buffers", "Config", "Telemetry"],
        ["Traces"] = ["Chat", "Transport", "Buffers", "Config", "Telemetry"],
        ["Cache"] = ["Chat", "Dialects", "Streams", "Buffers", "Config", "Telemetry"],
        ["Backends"] = ["Chat", "Vectors", "Buffers", "Transport", "Config", "Telemetry"],
        ["Inference"] = ["Vectors", "Buffers", "Config", "Telemetry"],
        ["Routes"] = ["Chat", "Buffers", "Backends", "Telemetry"],
        ["VectorRoutes"] = ["Chat", "Vectors", "Dialects", "Buffers", "Streams", "Routes", "Backends"],
        ["Http"] = ["Chat", "Vectors", "Dialects", "Streams", "Knowledge", "Routes", "VectorRoutes", "Backends", "Transport", "Buffers", "Config", "Telemetry"],
        ["Composition"] = Everything,
        ["Cli"] = Everything,
        [""] = ["Cli"],
    };

    /// <summary>For each package or framework the pattern by which a source uses it, and the folders or files that may.</summary>
    private static readonly (string Name, string Pattern, string[] Places)[] Fences =
    [
        ("ASP.NET", @"\busing Microsoft\.(AspNetCore|Extensions\.(Hosting|Primitives|DependencyInjection))"
            + @"|\b(HttpContext|HttpRequest|HttpResponse|IHeaderDictionary|WebApplication|StatusCodes|HttpMethods|Kestrel\w*)\b",
            ["Http/", "Transport/", "Composition/", "Cli/"]),
        ("Tomlyn", @"\bTomlyn\b", ["Config/ConfigReader"]),
        ("System.CommandLine", @"\bSystem\.CommandLine\b", ["Cli/"]),
        ("ZstdSharp", @"\bZstdSharp\b", ["Buffers/ContentCoding.cs"]),
        ("NATS.Client.Core", @"\bNATS\.(Client|NKeys)\b", ["Nats/"]),
        ("Tmds.DBus.Protocol", @"\bTmds\.DBus\b", ["Workflows/Systemd/"]),
        ("Npgsql", @"\bNpgsql", ["Store/Postgres/"]),
        ("PdfPig", @"\bPdfPig\b|\bUglyToad\.", ["Documents/"]),
        ("ONNX Runtime", @"\bMicrosoft\.ML\.OnnxRuntime", ["Inference/"]),
        ("SQLite", @"\bSqlite3\.|\bsqlite3_", ["Store/Sqlite/"]),
        ("tensor arithmetic", @"\bSystem\.Numerics\.Tensors", ["Inference/"]),
        ("reflection", @"\busing System\.Reflection;|\bActivator\.CreateInstance\b", ["Cli/", "Composition/"]),
    ];

    [GeneratedRegex(@"(?<![\w.])(?:global::)?Proxy\.(?<to>[A-Z]\w*(\.[A-Z]\w*)?)|(?<![\w.])(?<to>[A-Z]\w*)\.(?<type>[A-Z]\w*)", RegexOptions.ExplicitCapture)]
    private static partial Regex Reference();

    [GeneratedRegex(@"\b(?:class|record|struct|enum|interface|delegate [\w<>]+)\s+(?:struct\s+|class\s+)?(\w+)")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"""(\\.|[^""\\\n])*""|//[^\n]*")]
    private static partial Regex TextOrComment();

    [Fact]
    public void Every_file_uses_only_the_folders_that_its_own_may()
    {
        var wrong = new List<string>();
        var seen = 0;
        var types = Repository.Sources().SelectMany(s => Declaration().Matches(s.Text).Select(m => (RowOf(s.File), m.Groups[1].Value))).ToHashSet();
        foreach (var (folder, file, text) in Repository.Sources())
        {
            var row = RowOf(file);
            Assert.True(Allowed.TryGetValue(row, out var allowed), $"{file}: the folder has no row in the rule");
            foreach (Match match in Reference().Matches(Strip(text)))
            {
                var reference = match.Groups["to"].Value;
                var type = match.Groups["type"];
                var to = Rows(folder, reference, type.Value).FirstOrDefault(Allowed.ContainsKey);
                if (to is null || to == row) continue;
                // Config.Server may be a property; Buffers.PooledBody is a type.
                if (type.Success && !to.EndsWith("." + type.Value, StringComparison.Ordinal) && !types.Contains((to, type.Value))) continue;
                seen++;
                if (allowed != Everything && !allowed.Contains(to) && !allowed.Contains(reference)) wrong.Add($"{file} uses {reference}");
            }
        }

        Assert.True(seen > 100, "the rule reads nothing");
        Assert.Empty(wrong.Distinct());
    }

    [Fact]
    public void Packages_Stay_behind_their_fences()
    {
        var wrong = from source in Repository.Sources()
                    from fence in Fences
                    where Regex.IsMatch(Strip(source.Text), fence.Pattern)
                        && !fence.Places.Any(place => source.File.StartsWith("src/Proxy/" + place, StringComparison.Ordinal))
                    select $"{source.File} uses {fence.Name}";

        Assert.Empty(wrong);
    }

    [Fact]
    public void Packages_of_the_program_Each_has_a_fence()
    {
        var packages = Regex.Matches(Repository.Read("src/Proxy/Proxy.csproj"), "<PackageReference Include=\"([^\"]+)\"(?! PrivateAssets)")
            .Select(m => m.Groups[1].Value);

        Assert.Empty(packages.Where(package => !Fences.Any(fence => Regex.IsMatch(package.Replace(".Port", "", StringComparison.Ordinal), fence.Pattern)))
            .ToArray());
    }

    [Fact]
    public void Document_says_the_same_as_this_table()
    {
        var text = Repository.Read("docs/ARCHITECTURE.md");
        var block = text[text.IndexOf("## 4.", StringComparison.Ordinal)..];
        block = block[(block.IndexOf("```\n", StringComparison.Ordinal) + 4)..];
        block = block[..block.IndexOf("```", StringComparison.Ordinal)];
        var said = new Dictionary<string, string>();
        foreach (Match row in Regex.Matches(block, @"(?<from>[A-Z][\w.]*(, [A-Z][\w.]*)*) +-> (?<to>nothing of ours|everything|[A-Z][\w.]*(, [A-Z][\w.]*)*)"))
        {
            foreach (var from in row.Groups["from"].Value.Split(", ")) said.Add(from, row.Groups["to"].Value);
        }

        var meant = Allowed.Where(row => row.Key.Length > 0).ToDictionary(
            row => row.Key, row => row.Value == Everything ? "everything" : row.Value.Length == 0 ? "nothing of ours" : string.Join(", ", row.Value));
        Assert.Equal(meant.OrderBy(row => row.Key, StringComparer.Ordinal), said.OrderBy(row => row.Key, StringComparer.Ordinal));
    }

    [Fact]
    public void Namespace_Is_the_folder()
    {
        var wrong = from source in Repository.Files("src").Where(f => f.EndsWith(".cs", StringComparison.Ordinal)
            && (f.StartsWith("src/Proxy/", StringComparison.Ordinal) || f.StartsWith("src/Proxy.Tests/", StringComparison.Ordinal)))
                    let said = Regex.Match(Repository.Read(source), @"^namespace ([\w.]+)", RegexOptions.Multiline)
                    where said.Success && said.Groups[1].Value != Path.GetDirectoryName(source)!["src/".Length..].Replace('/', '.')
                    select $"{source} is in {said.Groups[1].Value}";

        Assert.Empty(wrong);
    }

    /// <summary>The row that a file of the program belongs to: its folder's, or that of the folder within.</summary>
    private static string RowOf(string file)
    {
        var folders = Path.GetDirectoryName(file)!.Split('/')[2..];
        return folders.Length > 1 && Allowed.ContainsKey($"{folders[0]}.{folders[1]}") ? $"{folders[0]}.{folders[1]}" : folders.FirstOrDefault("");
    }

    /// <summary>What a reference may mean, the nearest first: a folder within, by its whole name or from beside it, or a folder.</summary>
    private static IEnumerable<string> Rows(string folder, string reference, string type) =>
        [$"{reference}.{type}", reference, $"{folder}.{reference}", reference.Split('.')[0]];

    /// <summary>The code without comments and strings, which do not count as uses.</summary>
    private static string Strip(string text) => TextOrComment().Replace(text, " ");
}
