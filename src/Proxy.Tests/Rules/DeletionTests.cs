using Proxy.Tests.Harness;

namespace Proxy.Tests.Rules;

/// <summary>An optional feature can be deleted: without its folders, its file and one line in each list that names it, the program builds.</summary>
[Trait("Category", "Slow")]
public sealed class DeletionTests
{
    [Fact]
    public Task Without_Responses_The_rest_builds() => BuildWithoutAsync(
        ["Dialects/OpenAiResponses", "Http/Responses", "Composition/Features/ResponsesFeature.cs"],
        [("Dialects/DialectTable.cs", "OpenAiResponses."), ("Composition/Parts.cs", "ResponsesFeature.")]);

    [Fact]
    public Task Without_Anthropic_The_rest_builds() => BuildWithoutAsync(
        ["Dialects/Anthropic", "Composition/Features/AnthropicFeature.cs"],
        [("Dialects/DialectTable.cs", " Anthropic."), ("Composition/Parts.cs", "AnthropicFeature.")]);

    [Fact]
    public Task Without_nats_The_rest_builds() => BuildWithoutAsync(
        ["Nats", "Cli/NatsCli.cs", "Cli/EventsCommand.cs", "Composition/Features/NatsFeature.cs"],
        [("Cli/CliFeature.cs", "NatsCli."), ("Composition/Parts.cs", "NatsFeature.")]);

    [Fact]
    public Task Without_the_cache_and_workflows_The_rest_builds() => BuildWithoutAsync(
        ["Cache", "Composition/Features/CacheFeature.cs",
            "Workflows/Processes", "Workflows/Systemd", "Workflows/Dagster", "Cli/Workflows", "Composition/Features/WorkflowsFeature.cs"],
        [("Composition/Parts.cs", "CacheFeature."), ("Composition/Parts.cs", "WorkflowsFeature."), ("Cli/CliFeature.cs", "WorkflowsCli.")]);

    [Fact]
    public Task Without_inference_The_rest_builds_and_refuses_models_of_its_own() => BuildWithoutAsync(
        ["Inference", "Cli/Inference", "Composition/Features/InferenceFeature.cs"],
        [("Cli/CliFeature.cs", "InferenceCli."), ("Composition/Parts.cs", "InferenceFeature.")],
        async program =>
        {
            var config = Path.Combine(Path.GetDirectoryName(program)!, "config.toml");
            await File.WriteAllTextAsync(config, "[[inference.models]]\nname = \"minilm\"\npath = \"/models/minilm\"\n");
            var (exitCode, output) = await Command.TryAsync("dotnet", program, "check", config);

            Assert.Equal(3, exitCode);
            Assert.Contains(":3: inference.models[0].path: this build of proxy runs no models in its own process", output, StringComparison.Ordinal);
        });

    /// <param name="gone">Folders and files of the program that are deleted.</param>
    /// <param name="lines">Files, and a word that stands in exactly one of its lines, which is deleted.</param>
    /// <param name="use">Uses the program that was built.</param>
    internal static async Task BuildWithoutAsync(string[] gone, (string File, string Word)[] lines, Func<string, Task>? use = null)
    {
        var copy = Directory.CreateTempSubdirectory("proxy-without-").FullName;
        try
        {
            var program = Path.Combine(copy, "src/Proxy");
            foreach (var file in Repository.Files("src/Proxy"))
            {
                Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(copy, file))!);
                File.Copy(Path.Combine(Repository.Root, file), Path.Combine(copy, file));
            }

            foreach (var file in Directory.EnumerateFiles(Repository.Root)) File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
            foreach (var folder in (string[])["models", "packaging"])
                File.CreateSymbolicLink(Path.Combine(copy, folder), Path.Combine(Repository.Root, folder));
            foreach (var path in gone)
            {
                if (path.EndsWith(".cs", StringComparison.Ordinal)) File.Delete(Path.Combine(program, path));
                else Directory.Delete(Path.Combine(program, path), recursive: true);
            }

            foreach (var (file, word) in lines)
            {
                var text = await File.ReadAllLinesAsync(Path.Combine(program, file));
                Assert.Single(text, line => line.Contains(word, StringComparison.Ordinal));
                await File.WriteAllLinesAsync(Path.Combine(program, file), text.Where(line => !line.Contains(word, StringComparison.Ordinal)));
            }

            var (exitCode, output) = await Command.TryAsync(
                "dotnet", "build", program, "-o", Path.Combine(copy, "out"), "-v", "q", "-nologo", "-nodeReuse:false", "-p:RunAnalyzers=false");

            Assert.True(exitCode == 0, output);
            if (use is not null) await use(Path.Combine(copy, "out/proxy.dll"));
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }
}

/// <summary>More of <see cref="DeletionTests"/>, so that two build at the same time.</summary>
[Trait("Category", "Slow")]
public sealed class StoreDeletionTests
{
    [Fact]
    public Task Without_a_store_and_knowledge_which_needs_one_The_rest_builds() => DeletionTests.BuildWithoutAsync(
        ["Store", "Cli/Store", "Composition/Features/StoreFeature.cs", .. Knowledge],
        [("Cli/CliFeature.cs", "StoreCli."), ("Composition/Parts.cs", "StoreFeature."), .. NamesOfKnowledge]);

    [Fact]
    public Task Without_knowledge_The_rest_builds() => DeletionTests.BuildWithoutAsync(Knowledge, NamesOfKnowledge);

    private static readonly string[] Knowledge = ["Cli/Knowledge", "Composition/Features/KnowledgeFeature.cs"];

    private static readonly (string, string)[] NamesOfKnowledge = [("Cli/CliFeature.cs", "KnowledgeCli."), ("Composition/Parts.cs", "KnowledgeFeature.")];
}
