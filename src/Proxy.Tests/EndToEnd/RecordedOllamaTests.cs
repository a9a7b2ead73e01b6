using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Proxy.Tests.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Sends requests that were recorded with a real Ollama server to the proxy over a host that speaks only OpenAI. The answer must have the same shape; every
/// difference is a row of "Recorded Ollama requests over a foreign host" in <c>docs/dialects.md</c>.
/// </summary>
public sealed partial class RecordedOllamaTests(RecordedOllamaTests.Door door) : IClassFixture<RecordedOllamaTests.Door>
{
    private const string Heading = "## Recorded Ollama requests over a foreign host";

    private static readonly JsonElement[] Asked =
        [.. JsonElement.Parse(File.ReadAllText(Path.Combine(Wire.Root, "src/Proxy.Tests/Recordings/ollama/requests.json"))).EnumerateArray()];

    public sealed class Door : FrontDoor
    {
        protected override string Sections()
        {
            var host = Host();
            host.Pages["/v1/models"] = ScriptedOpenAi.Models;
            host.Answer(ScriptedOpenAi.AnswerAsync);
            return $"""
                [inference]
                bundled = false
                [[backends]]
                name = "foreign"
                url = "{host.Url}"
                dialects = ["openai"]
                """;
        }
    }

    public static TheoryData<string> Names => [.. Asked.Select(request => request.GetProperty("name").GetString()!)];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Recorded_request_Is_answered_alike_or_a_row_says_how_not(string name)
    {
        await Patience.Until(async () => (await door.GetAsync("/api/tags")).Json.GetProperty("models").GetArrayLength() == 3, "the host has told its models");
        var request = Asked.Single(asked => asked.GetProperty("name").GetString() == name);
        var method = request.GetProperty("method").GetString()!;
        byte[]? body = request.TryGetProperty("body", out var value)
            ? Encoding.UTF8.GetBytes(value.ValueKind is JsonValueKind.String ? value.GetString()! : value.GetRawText()) : null;
        string[] headers = request.TryGetProperty("headers", out var more) ? [.. more.EnumerateArray().Select(header => header.GetString()!)] : [];

        var reply = await RawClient.SendAsync(door.Address, method, request.GetProperty("path").GetString()!, body, headers);

        var differences = Recorded(name, method).Differences(RecordedShape.Of(reply.Status, reply.Header, reply.Body, method)).Order(StringComparer.Ordinal)
            .ToList();
        if (Environment.GetEnvironmentVariable("RECORDED_DIFFERENCES") is { Length: > 0 } file)
        {
            await File.AppendAllTextAsync(file, string.Concat(differences.Select(difference =>
                $"{name}\t{difference}\t{reply.Text[..Math.Min(200, reply.Text.Length)].ReplaceLineEndings(" ")}\n")), TestContext.Current.CancellationToken);
        }

        var expected = Rows().Where(row => row.Name == name).Select(row => row.Difference).ToList();
        // A row may name all members of an object at once; at least one such difference must exist.
        var collected = differences.Select(difference => expected.FirstOrDefault(row => row.EndsWith(".*", StringComparison.Ordinal)
            && difference.StartsWith(row[..^1], StringComparison.Ordinal)) ?? difference).Distinct();
        Assert.Equal(expected.Order(StringComparer.Ordinal), collected.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_row_of_the_table_Names_a_recorded_request()
    {
        var rows = Rows();

        Assert.NotEmpty(rows);
        Assert.All(rows, row => Assert.Contains(row.Name, Asked.Select(request => request.GetProperty("name").GetString())));
    }

    private static RecordedShape Recorded(string name, string method)
    {
        var bytes = File.ReadAllBytes(Path.Combine(Wire.Root, "src/Proxy.Tests/Recordings/ollama", name + ".http"));
        var end = bytes.AsSpan().IndexOf("\r\n\r\n"u8);
        var lines = Encoding.Latin1.GetString(bytes, 0, end).Split("\r\n");
        return RecordedShape.Of(int.Parse(lines[0].Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture), Header, bytes[(end + 4)..], method);

        string? Header(string wanted) => lines.Skip(1).Select(line => line.Split(':', 2))
            .FirstOrDefault(pair => pair[0].Equals(wanted, StringComparison.OrdinalIgnoreCase))?[1].Trim();
    }

    /// <summary>A row has one or more recordings, and one or more differences that each of them must have.</summary>
    private static List<(string Name, string Difference)> Rows()
    {
        var text = File.ReadAllText(Path.Combine(Wire.Root, "docs", "dialects.md"));
        var start = text.IndexOf(Heading, StringComparison.Ordinal);
        if (start < 0) return [];
        var table = text[start..];
        if (table.IndexOf("\n## ", StringComparison.Ordinal) is var next and > 0) table = table[..next];
        return
        [
            .. from line in table.Split('\n')
            let cells = line.Split('|', StringSplitOptions.TrimEntries)
            where cells.Length == 5 && cells[1].StartsWith('`')
            from name in InCode().Matches(cells[1])
            from difference in InCode().Matches(cells[2])
            select (name.Groups[1].Value, difference.Groups[1].Value),
        ];
    }

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex InCode();
}
