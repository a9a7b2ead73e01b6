using Proxy.Tests.Rules;
using Tomlyn;
using Tomlyn.Model;

namespace Proxy.Tests.Telemetry;

/// <summary>The configuration for Vector is TOML, its parts refer to each other, and the labels have few values.</summary>
public sealed class VectorFileTests
{
    private static readonly string Text = Repository.Read("packaging/vector/vector.toml");

    /// <summary>The file, and the file with the part that is commented out.</summary>
    public static TheoryData<string> Files => [Text, string.Join('\n', Text.Split('\n').Select(static line => line is ['#', not ' ', ..] ? line[1..] : line))];

    [Theory, MemberData(nameof(Files))]
    public void Parts_refer_to_each_other(string text)
    {
        var file = TomlSerializer.Deserialize<TomlTable>(text)!;
        var sources = ((TomlTable)file["sources"]).Keys;
        var transforms = (TomlTable)file["transforms"];
        var sinks = (TomlTable)file["sinks"];

        var used = transforms.Concat(sinks).SelectMany(static part => ((TomlArray)((TomlTable)part.Value)["inputs"]).Cast<string>()).ToHashSet();

        Assert.Equal(sources.Concat(transforms.Keys).Order(), used.Order());
        Assert.All(transforms, static part => Assert.NotEmpty((string)((TomlTable)part.Value)["source"]));
    }

    [Theory, MemberData(nameof(Files))]
    public void Labels_have_few_values(string text)
    {
        var sinks = (TomlTable)TomlSerializer.Deserialize<TomlTable>(text)!["sinks"];

        foreach (var sink in sinks.Values.Cast<TomlTable>().Where(static sink => (string)sink["type"] == "loki"))
            Assert.Empty(((TomlTable)sink["labels"]).Keys.Except(["service", "level", "event", "host"]));
    }

    [Fact]
    public void Every_transform_is_marked_as_untested()
    {
        var lines = Text.Split('\n');

        for (var at = 1; at < lines.Length; at++)
        {
            if (lines[at].Contains("[transforms.", StringComparison.Ordinal)) Assert.Contains("UNTESTED", lines[at - 1], StringComparison.Ordinal);
        }
    }
}
