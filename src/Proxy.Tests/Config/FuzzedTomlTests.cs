using System.Text;
using CsCheck;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Config;

/// <summary>
/// Configuration files with random changes: each is read, or has problems that say where they are.
/// </summary>
public sealed class FuzzedTomlTests
{
    private static readonly List<byte[]> Corpus = Sections();

    [Fact]
    public void Text_with_a_null_character_Is_refused() =>
        Toml.IsRefused("[traces]\notlp = \"https://h\"\nca = \"a\\u0000b\"", 3, "traces.ca", "holds a null character");

    [Fact]
    public void File_with_changes_Is_read_or_has_problems_with_their_lines() => Gen.Int.Holds(300, static seed => $"seed {seed}", static seed =>
    {
        var text = Encoding.UTF8.GetString(Mutation.Of(Corpus, new Random(seed), most: 4));

        var result = ConfigReader.Read(text, Toml.Machine());

        Assert.Equal(result.Problems.Count == 0, result.Config is not null);
        var lines = text.Split('\n').Length;
        Assert.All(result.Problems, problem =>
        {
            Assert.NotEmpty(problem.Message);
            Assert.InRange(problem.Line, 0, lines);
        });
    });

    /// <summary>The sections of the example, each a file.</summary>
    private static List<byte[]> Sections()
    {
        var lines = Repository.Read("config.example.toml").Split('\n')
            .Select(static line => line.StartsWith('#') && line.Length > 1 && line[1] != ' ' ? line[1..] : line);
        return [.. string.Join('\n', lines).Split("\n# ---").Select(Encoding.UTF8.GetBytes)];
    }
}
