using System.Text.RegularExpressions;
using Proxy.Tests.Config;

namespace Proxy.Tests.Rules;

/// <summary>
/// The files of packaging/container, three-hosts and docs/deploy against the program: every variable is read, every command exists, every file is valid.
/// packaging/container/test.sh and EndToEnd/ThreeHostsTests run them.
/// </summary>
public sealed partial class ContainerFilesTests
{
    private static readonly string Docker = Repository.Read("packaging/container/Dockerfile");

    private static readonly string Compose = Repository.Read("packaging/container/compose.yaml");

    private static readonly string Code = string.Concat(Repository.Sources().Select(static source => source.Text));

    [Fact]
    public void Variables_of_the_image_and_of_compose_are_read_by_the_program()
    {
        var proxy = Service("proxy");
        var set = Setting().Matches(Docker[Docker.IndexOf("ENV ", StringComparison.Ordinal)..]).Concat(Pair().Matches(Part(proxy, "environment")))
            .Select(static match => match.Groups[1].Value).ToList();

        HashSet<string> least = ["PROXY_LISTEN", "STATE_DIRECTORY", "PROXY_API_KEY", "LLM_BASE_URL", "DATABASE_URL", "NATS_URL"];
        Assert.Superset(least, set.ToHashSet());
        Assert.All(set, static name => Assert.Contains($"\"{name}\"", Code, StringComparison.Ordinal));
    }

    [Fact]
    public void Variables_of_the_page_are_read_by_the_program()
    {
        var ours = Words().Matches(Repository.Read("docs/deploy/container.md")).Select(static match => match.Groups[1].Value).Distinct()
            .Where(static name => !name.EndsWith('_')).Except(["PORT", "HOST", "API_KEY", "NAME", "POSTGRES_PASSWORD"]).ToList();

        Assert.True(ours.Count >= 8, "nothing was read");
        Assert.All(ours, static name => Assert.Contains($"\"{name}\"", Code, StringComparison.Ordinal));
    }

    [Fact]
    public void Compose_Waits_for_healthy_servers_and_reaches_this_machine()
    {
        var proxy = Service("proxy");
        foreach (var server in (string[])["postgres", "nats"])
        {
            Assert.Contains($"      {server}:\n        condition: service_healthy\n", proxy, StringComparison.Ordinal);
            Assert.Contains("    healthcheck:\n", Service(server), StringComparison.Ordinal);
        }

        Assert.Contains("host.docker.internal:host-gateway", proxy, StringComparison.Ordinal);
        Assert.Contains(":pg18\n", Service("postgres"), StringComparison.Ordinal);
        Assert.Contains("\"-js\"", Service("nats"), StringComparison.Ordinal);
        // The image and compose agree, and neither runs as root.
        Assert.Contains("HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD [\"proxy\", \"healthcheck\"]", Docker, StringComparison.Ordinal);
        Assert.Contains("test: [\"CMD\", \"proxy\", \"healthcheck\"]", proxy, StringComparison.Ordinal);
        Assert.Matches("(?m)^USER [1-9]", Docker);
        Assert.Matches("(?m)^ENV PROXY_LISTEN=0.0.0.0:8080 ", Docker);
    }

    /// <summary>Only spaces, in steps of two; every value that holds ": " or begins with a sign is quoted.</summary>
    [Fact]
    public void Compose_Is_plain_YAML()
    {
        var depth = 0;
        foreach (var line in Compose.Split('\n').Where(static line => line.Trim() is { Length: > 0 } text && text[0] != '#'))
        {
            var indent = line.Length - line.TrimStart(' ').Length;
            Assert.True(indent % 2 == 0 && indent <= depth + 2 && !line.Contains('\t'), line);
            Assert.Matches("""^ *(- )?("[^"]*"|[A-Za-z_.-]+:( .+)?|[^:\s]+(:[^:\s]+)*)$""", line);
            depth = indent;
        }
    }

    [Theory]
    [InlineData("storage")]
    [InlineData("desktop")]
    [InlineData("compute")]
    public void File_of_a_box_Is_valid(string box)
    {
        var text = Repository.Read($"packaging/three-hosts/{box}.toml");
        foreach (var name in Reference().Matches(text).Select(static match => match.Groups[1].Value).Distinct())
        {
            Assert.Contains(name, Repository.Read("docs/deploy/three-boxes.md"), StringComparison.Ordinal);
            var value = name.EndsWith("SHA256", StringComparison.Ordinal) ? new string(name[0] == 'B' ? 'a' : 'b', 64) : "x";
            text = text.Replace($"${{{name}}}", value, StringComparison.Ordinal);
        }

        var config = Toml.Good(text);

        Assert.Equal("jetstream", config.Streams.Journal);
        Assert.Equal(["box", "laptop"], config.Auth.Keys.Select(static key => key.Name));
    }

    [Fact]
    public void Files_of_the_pages_are_valid()
    {
        var files = (from page in (string[])["one-box", "balancer"]
                     from Match block in Block().Matches(Repository.Read($"docs/deploy/{page}.md"))
                     select block.Groups[1].Value.Replace("${DATABASE_PASSWORD}", "x", StringComparison.Ordinal)).ToList();

        Assert.Equal(2, files.Count);
        foreach (var file in files)
        {
            var keys = file.Contains("[[auth.keys]]", StringComparison.Ordinal) ? "" : $"\n[[auth.keys]]\nname = \"k\"\nsha256 = \"{new string('a', 64)}\"\n";
            Toml.Good(file + keys, Toml.Machine(new() { ["STATE_DIRECTORY"] = "/s" }));
        }
    }

    private static string Service(string name)
    {
        var all = Compose[Compose.IndexOf("\nservices:\n", StringComparison.Ordinal)..];
        var start = all.IndexOf($"\n  {name}:\n", StringComparison.Ordinal) + 1;
        var rest = all[start..];
        return NextService().Match(rest, name.Length) is { Success: true, Index: var end } ? rest[..end] : rest;
    }

    private static string Part(string service, string name)
    {
        var rest = service[(service.IndexOf($"    {name}:\n", StringComparison.Ordinal) + name.Length + 6)..];
        return NextPart().Match(rest) is { Success: true, Index: var end } ? rest[..end] : rest;
    }

    [GeneratedRegex(@"(?m)^ {4}\w")]
    private static partial Regex NextPart();

    [GeneratedRegex(@"(?m)^( {2})?\w")]
    private static partial Regex NextService();

    [GeneratedRegex(@"\b([A-Z][A-Z_]+)=")]
    private static partial Regex Setting();

    [GeneratedRegex(@"(?m)^ {6}([A-Z_]+):")]
    private static partial Regex Pair();

    [GeneratedRegex(@"`(?:\$\{)?([A-Z]{2,}[A-Z_]*)(?:=[^`]*)?\}?`")]
    private static partial Regex Words();

    [GeneratedRegex(@"\$\{(\w+)\}")]
    private static partial Regex Reference();

    [GeneratedRegex("```toml\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Block();
}
