using Proxy.Tests.Harness;

namespace Proxy.Tests.Rules;

/// <summary>An optional feature can be deleted: without its folders, its file and one line in each list that names it, the program
/// compiles.</summary>
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
    public Task Without_nats_and_traces_The_rest_builds() => BuildWithoutAsync(
        ["Nats", "Cli/NatsCli.cs", "Cli/EventsCommand.cs", "Composition/Features/NatsFeature.cs", "Traces", "Composition/Features/TracesFeature.cs"],
        [("Cli/CliFeature.cs", "NatsCli."), ("Composition/Parts.cs", "NatsFeature."), ("Composition/Parts.cs", "TracesFeature.")]);

    [Fact]
    public Task Without_the_cache_workflows_and_the_console_The_rest_builds() => BuildWithoutAsync(
        ["Cache", "Composition/Features/CacheFeature.cs", "Http/Console", "Composition/Features/ConsoleFeature.cs",
            "Workflows/Processes", "Workflows/Systemd", "Workflows/Dagster", "Cli/Workflows", "Composition/Features/WorkflowsFeature.cs"],
        [("Composition/Parts.cs", "CacheFeature."), ("Composition/Parts.cs", "ConsoleFeature."),
            ("Composition/Parts.cs", "WorkflowsFeature."), ("Cli/CliFeature.cs", "WorkflowsCli.")]);

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

    [Fact]
    public Task Without_a_store_and_knowledge_which_needs_one_The_rest_builds() => BuildWithoutAsync(
        ["Store", "Cli/Store", "Composition/Features/StoreFeature.cs", .. Knowledge],
        [("Cli/CliFeature.cs", "StoreCli."), ("Composition/Parts.cs", "StoreFeature."), .. NamesOfKnowledge]);

    [Fact]
    public Task Without_knowledge_The_rest_builds() => BuildWithoutAsync(Knowledge, NamesOfKnowledge);

    private static readonly string[] Knowledge = ["Cli/Knowledge", "Composition/Features/KnowledgeFeature.cs"];

    private static readonly (string, string)[] NamesOfKnowledge = [("Cli/CliFeature.cs", "KnowledgeCli."), ("Composition/Parts.cs", "KnowledgeFeature.")];

    /// <param name="gone">Folders and files of the program that are deleted.</param>
    /// <param name="lines">Files, and a word that stands in exactly one of their lines, which is deleted.</param>
    /// <param name="use">Uses the program that was compiled.</param>
    private static async Task BuildWithoutAsync(string[] gone, (string File, string Word)[] lines, Func<string, Task>? use = null)
    {
        Assert.All(gone, static path => Assert.True(Path.Exists(Path.Combine(Repository.Root, "src/Proxy", path)), $"there is no {path}"));
        Assert.All(lines, static line =>
            Assert.Single(Repository.Read("src/Proxy/" + line.File).Split('\n'), text => text.Contains(line.Word, StringComparison.Ordinal)));

        var (program, problems) = await ProgramCompiler.CompileAsync((path, text) =>
            gone.Any(one => path == one || path.StartsWith(one + "/", StringComparison.Ordinal)) ? null : Without(path, text));

        Assert.Empty(problems.Select(static problem => problem.ToString()));
        if (use is null) return;
        var folder = Directory.CreateTempSubdirectory("proxy-without-").FullName;
        try
        {
            foreach (var file in Directory.EnumerateFiles(AppContext.BaseDirectory))
                File.CreateSymbolicLink(Path.Combine(folder, Path.GetFileName(file)), file);
            var binary = Path.Combine(folder, "proxy.dll");
            File.Delete(binary);
            await using (var file = File.Create(binary)) Assert.True(program.Emit(file).Success);
            await use(binary);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        string Without(string path, string text)
        {
            foreach (var (file, word) in lines)
                if (file == path) text = string.Join('\n', text.Split('\n').Where(line => !line.Contains(word, StringComparison.Ordinal)));
            return text;
        }
    }
}
