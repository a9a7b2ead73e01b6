using System.Reflection;
using System.Runtime.Loader;
using System.Text;
using System.Text.Json;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Rules;

/// <summary>Compiles the program in this process, with the references and source generators of its project: several times as fast as a build.</summary>
internal static class ProgramCompiler
{
    /// <summary>What builds suppress too: assemblies of different versions.</summary>
    private static readonly Dictionary<string, ReportDiagnostic> Quiet =
        new() { ["CS1701"] = ReportDiagnostic.Suppress, ["CS1702"] = ReportDiagnostic.Suppress };

    private static readonly Lazy<Task<Inputs>> Loaded = new(LoadAsync);

    /// <summary>Compiles the program from other sources.</summary>
    /// <param name="source">The text of a file of the program, by its path below <c>src/Proxy</c>; null: the file is left out.</param>
    /// <returns>The program, and every error and warning of the compiler: a warning fails a build.</returns>
    public static async Task<(Compilation Program, IReadOnlyList<Diagnostic> Problems)> CompileAsync(Func<string, string, string?> source)
    {
        var inputs = await Loaded.Value;
        var trees = new List<SyntaxTree>(inputs.Generated);
        foreach (var (path, (text, tree)) in inputs.Sources)
        {
            if (source(path, text) is not { } wanted) continue;
            trees.Add(ReferenceEquals(wanted, text) ? tree : Parse(path, wanted, inputs.Parsing));
        }

        var options = new CSharpCompilationOptions(OutputKind.ConsoleApplication, allowUnsafe: true, nullableContextOptions: NullableContextOptions.Enable,
            specificDiagnosticOptions: Quiet);
        var compilation = CSharpCompilation.Create("proxy", trees, inputs.References, options);
        CSharpGeneratorDriver.Create(inputs.Generators, parseOptions: inputs.Parsing)
            .RunGeneratorsAndUpdateCompilation(compilation, out var program, out var said);
        var problems = said.Concat(program.GetDiagnostics()).Where(static one => one is { Severity: >= DiagnosticSeverity.Warning, IsSuppressed: false });
        return (program, [.. problems]);
    }

    private static async Task<Inputs> LoadAsync()
    {
        var (exitCode, output) = await Command.TryAsync(
            "dotnet", "msbuild", Path.Combine(Repository.Root, "src/Proxy/Proxy.csproj"), "-nologo", "-nodeReuse:false",
            "-t:ResolveTargetingPackAssets", "-t:FindReferenceAssembliesForReferences", "-getItem:ReferencePathWithRefAssemblies", "-getItem:Analyzer",
            "-getProperty:DefineConstants", "-getProperty:IntermediateOutputPath");
        Assert.True(exitCode == 0, output);
        var project = JsonElement.Parse(output);
        var properties = project.GetProperty("Properties");
        var parsing = CSharpParseOptions.Default.WithLanguageVersion(LanguageVersion.Latest)
            .WithPreprocessorSymbols(properties.GetProperty("DefineConstants").GetString()!.Split(';'));
        var generated = Path.Combine(Repository.Root, "src/Proxy", properties.GetProperty("IntermediateOutputPath").GetString()!.Replace('\\', '/'));
        var loader = new GeneratorLoader();
        return new(
            parsing,
            [.. Paths(project, "ReferencePathWithRefAssemblies").Select(static path => MetadataReference.CreateFromFile(path))],
            [.. Paths(project, "Analyzer").SelectMany(path => new AnalyzerFileReference(path, loader).GetGenerators(LanguageNames.CSharp))],
            [.. Directory.EnumerateFiles(generated, "*.cs").Select(path => Parse(path, File.ReadAllText(path), parsing))],
            Repository.Files("src/Proxy").Where(static file => file.EndsWith(".cs", StringComparison.Ordinal)).ToDictionary(
                static file => file["src/Proxy/".Length..], file => (Repository.Read(file), Parse(file, Repository.Read(file), parsing))));
    }

    private static IEnumerable<string> Paths(JsonElement project, string item) =>
        project.GetProperty("Items").GetProperty(item).EnumerateArray().Select(static one => Path.GetFullPath(one.GetProperty("FullPath").GetString()!));

    private static SyntaxTree Parse(string path, string text, CSharpParseOptions parsing) =>
        CSharpSyntaxTree.ParseText(SourceText.From(text, Encoding.UTF8), parsing, path);

    /// <param name="Parsing">How sources are parsed.</param>
    /// <param name="References">The assemblies that the program refers to.</param>
    /// <param name="Generators">What adds sources.</param>
    /// <param name="Generated">The sources that the build itself makes.</param>
    /// <param name="Sources">The program's sources by their paths below <c>src/Proxy</c>.</param>
    private sealed record Inputs(
        CSharpParseOptions Parsing, MetadataReference[] References, ISourceGenerator[] Generators, SyntaxTree[] Generated,
        Dictionary<string, (string Text, SyntaxTree Tree)> Sources);

    /// <summary>Loads generators and what they need from their own folders; the compiler is this process's.</summary>
    private sealed class GeneratorLoader() : AssemblyLoadContext("generators"), IAnalyzerAssemblyLoader
    {
        private readonly HashSet<string> folders = [];

        public void AddDependencyLocation(string fullPath) => folders.Add(Path.GetDirectoryName(fullPath)!);

        public Assembly LoadFromPath(string fullPath) => LoadFromAssemblyPath(fullPath);

        protected override Assembly? Load(AssemblyName assemblyName)
        {
            if (assemblyName.Name is "Microsoft.CodeAnalysis" or "Microsoft.CodeAnalysis.CSharp" or "System.Collections.Immutable") return null;
            var path = folders.Select(folder => Path.Combine(folder, $"{assemblyName.Name}.dll")).FirstOrDefault(File.Exists);
            return path is null ? null : LoadFromAssemblyPath(path);
        }
    }
}
