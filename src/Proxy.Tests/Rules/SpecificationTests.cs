using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Rules;

/// <summary>Checks the extracts of published specifications and the script that makes them.</summary>
public sealed class SpecificationTests
{
    private const string Folder = "src/Proxy.Tests/Specifications";

    [Theory]
    [InlineData("openai.json")]
    [InlineData("ollama.json")]
    public void Extract_Says_where_it_is_from_and_has_no_word_for_people(string file)
    {
        var extract = JsonNode.Parse(Repository.Read($"{Folder}/{file}"))!;

        Assert.StartsWith("https://github.com/", (string?)extract["source"]);
        Assert.Matches("^[0-9a-f]{40}$", (string?)extract["commit"]);
        Assert.Equal("MIT", (string?)extract["licence"]);
        Assert.Contains((string?)extract["commit"] ?? "", Repository.Read($"{Folder}/README.md"));
        Assert.InRange(Repository.Read($"{Folder}/{file}").Length, 1000, 150_000);
        Assert.DoesNotContain("\"description\":\"", extract.ToJsonString());
        Assert.DoesNotContain("\"example\"", extract.ToJsonString());
        Assert.DoesNotContain("\"x-", extract.ToJsonString());
    }

    [Fact]
    public void No_test_reads_a_specification_outside_the_repository()
    {
        string[] outside = [Path.Combine("shared", "specs"), "\"specs\"", "PROXY_SPECS"];

        var readers = Repository.Files("src/Proxy.Tests")
            .Where(static file => file.EndsWith(".cs", StringComparison.Ordinal) && !file.EndsWith("/SpecificationTests.cs", StringComparison.Ordinal))
            .Where(file => outside.Any(Repository.Read(file).Contains)).ToArray();

        Assert.Empty(readers);
    }

    [Fact]
    [Trait("Category", "System")]
    public async Task Script_run_on_a_newer_specification_Prints_what_changed()
    {
        var folder = Directory.CreateTempSubdirectory("specification-");
        try
        {
            var script = Path.Combine(Repository.Root, Folder, "extract.py");
            await PublishAsync(folder, """{"type":"object","description":"A model","required":["id"],"properties":{"id":"""
                + """{"type":"string","example":"m"},"description":{"type":"string"}},"x-group":"models"}""");
            var first = await Command.RunAsync("python3", script, "--from", folder.FullName, "--to", folder.FullName, "--commit", "openai=abc");

            Assert.Contains("openai.json: ", first, StringComparison.Ordinal);
            var model = JsonNode.Parse(
                await File.ReadAllTextAsync(Path.Combine(folder.FullName, "openai.json"), TestContext.Current.CancellationToken))!["schemas"]!["Model"]!;
            Assert.Equal("""{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"description":{"type":"string"}}}""", model.ToJsonString());

            await PublishAsync(
                folder, """{"type":"object","required":["id","owner"],"properties":{"id":{"type":"integer"},"owner":{"$ref":"#/components/schemas/Owner"}}}""",
                ""","Owner":{"type":"string"}""");
            var second = await Command.RunAsync("python3", script, "--from", folder.FullName, "--to", folder.FullName);

            string[] changes = ["+ openai.Owner", "+ openai.Model.required: owner", "- openai.Model.properties.description", "+ openai.Model.properties.owner",
                "~ openai.Model.properties.id.type: \"string\" is now \"integer\""];
            Assert.Equal(changes.Select(static line => $"  {line}").Order(StringComparer.Ordinal), second.Split('\n')[1..].Order(StringComparer.Ordinal));
            Assert.Equal("not known", (string?)JsonNode.Parse(
                await File.ReadAllTextAsync(Path.Combine(folder.FullName, "openai.json"), TestContext.Current.CancellationToken))!["commit"]);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Writes a specification with the schemas that the script takes, of which only <paramref name="model"/> is varied.</summary>
    private static Task PublishAsync(DirectoryInfo folder, string model, string more = "")
    {
        string[] others = ["CreateChatCompletionResponse", "CreateChatCompletionStreamResponse", "CreateCompletionResponse", "CreateEmbeddingResponse",
            "DeleteFileResponse", "DeleteVectorStoreFileResponse", "DeleteVectorStoreResponse", "ErrorResponse", "ListFilesResponse", "ListModelsResponse",
            "ListVectorStoreFilesResponse", "ListVectorStoresResponse", "OpenAIFile", "Response", "ResponseStreamEvent", "TokenCountsResource",
            "VectorStoreFileBatchObject", "VectorStoreFileContentResponse", "VectorStoreFileObject", "VectorStoreObject", "VectorStoreSearchResultsPage"];
        var schemas = string.Concat(others.Select(static name => $$""","{{name}}":{"type":"object"}"""));
        return File.WriteAllTextAsync(
            Path.Combine(folder.FullName, "openai.openapi.json"),
            "{\"info\":{\"version\":\"1\",\"license\":{\"name\":\"MIT\"}},\"components\":{\"schemas\":{\"Model\":" + model + schemas + more + "}}}",
            TestContext.Current.CancellationToken);
    }
}
