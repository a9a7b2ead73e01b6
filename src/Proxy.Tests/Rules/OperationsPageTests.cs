using System.Text.RegularExpressions;
using Proxy.Telemetry;

namespace Proxy.Tests.Rules;

/// <summary>Checks the tables of docs/operations.md against the code: they must be complete, and every row must be true.</summary>
public sealed partial class OperationsPageTests
{
    private static readonly string Page = Repository.Read("docs/operations.md");

    [Fact]
    public void Metrics_are_those_of_the_code_with_their_type()
    {
        var own = Found(Metric(), match => (match.Groups["name"].Value, match.Groups["kind"] is { Success: true, Value: var kind }
            ? kind : match.Value.StartsWith("AddHistogram", StringComparison.Ordinal) ? "histogram"
            : match.Groups["name"].Value.EndsWith("_total", StringComparison.Ordinal) ? "counter" : "gauge"));

        Assert.Equal(own.Distinct().Order(), Table("metric").Select(row => (Name(row[0]), row[1])).Order());
    }

    [Fact]
    public void Labels_are_those_of_the_code()
    {
        var metrics = new ProxyMetrics();
        metrics.Count(
            new()
            {
                TraceId = "T", CorrelationId = "C", Surface = "/api/chat", Started = 0, Backend = "b", Served = "m", TokensIn = 1, TokensOut = 1, Status = 200,
                Outcome = CallOutcome.Timeout, Stream = true,
            },
            TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
        metrics.CountFailure("b");
        var said = Table("metric").ToDictionary(row => Name(row[0]), row => row[2]
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Name).ToArray());

        foreach (var line in metrics.Expose().Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line[0] != '#'))
        {
            var name = Suffix().Replace(line[..line.IndexOfAny(['{', ' '])], "");
            Assert.Equal(said[name], LabelOf().Matches(line).Select(match => match.Groups[1].Value).Where(label => label != "le"));
        }
    }

    [Fact]
    public void Fields_of_a_call_are_those_of_the_code_in_their_order() =>
        Assert.Equal(Field().Matches(Repository.Read("src/Proxy/Telemetry/CallLedger.cs")).Select(match => match.Groups[1].Value), Table("field of `call`")
            .Select(row => Name(row[0])));

    [Fact]
    public void Outcomes_are_those_of_the_code() =>
        Assert.Equal(Enum.GetValues<CallOutcome>().Select(CallLedger.Name), Table("outcome").Select(row => Name(row[0])));

    [Fact]
    public void Events_are_those_of_the_code_with_their_level()
    {
        var events = Found(Event(), match => (match.Groups[2].Value,
            match.Groups[1].Value switch { "Information" => "info", "Warning" => "warn", "Critical" => "crit", var level => level.ToLowerInvariant() }));

        Assert.Equal(events.Order(), Table("event").Select(row => (Name(row[0]), row[1])).Order());
    }

    [Fact]
    public void Headers_that_are_read_are_those_of_the_code()
    {
        var read = Found(HeaderByName(), match => match.Groups[1].Value, "Http")
            .Concat(Found(HeaderByName(), match => match.Groups[1].Value, "Composition"))
            .Concat(Found(HeaderByProperty(), match => Kebab(match.Groups[1].Value), "Http"))
            .Concat(Found(HeaderByPrefix(), match => match.Groups[1].Value + "*", "Http"));

        Assert.Equal(read.Distinct().Order(StringComparer.Ordinal), Names("header in"));
    }

    [Fact]
    public void Headers_that_are_sent_are_those_of_the_code()
    {
        var sent = Found(SentByName(), match => match.Groups[1] is { Success: true, Value: var name } ? name : Proxy.Chat.ProxyIdentity.Header, "Http")
            .Concat(Found(SentByProperty(), match => Kebab(match.Groups[1].Value), "Http"))
            .Concat(Found(RequestId(), match => match.Groups[1].Value, "Dialects"));

        Assert.Equal(sent.Distinct().Order(StringComparer.Ordinal), Names("header out"));
    }

    [Fact]
    public void Headers_to_a_host_are_those_of_the_code() =>
        Assert.Equal(ToHost().Matches(Repository.Read("src/Proxy/Backends/CrossingHeaders.cs")).Select(match => match.Groups[1].Value).Append("via")
            .Order(StringComparer.Ordinal), Names("header to a host"));

    [Fact]
    public void Headers_from_a_host_are_those_of_the_code()
    {
        var code = Repository.Read("src/Proxy/Transport/ResponseHead.cs");
        code = code[code.IndexOf("bool MayCross(", StringComparison.Ordinal)..];
        code = code[..code.IndexOf(';', StringComparison.Ordinal)];

        Assert.Equal(FromHost().Matches(code).Select(match => match.Groups[2].Value + (match.Groups[1].Value == "StartsWith" ? "*" : ""))
            .Order(StringComparer.Ordinal), Names("header from a host"));
    }

    [Fact]
    public void Rules_of_health_and_breaker_are_those_of_the_code()
    {
        var rules = Table("rule").ToDictionary(row => row[0], row => row[1]);

        var constants = new[] { "BackendProbe", "BackendState", "HostQuestions" }.SelectMany(file => Constant()
            .Matches(Repository.Read($"src/Proxy/Backends/{file}.cs")))
            .ToDictionary(match => match.Groups["name"].Value,
                match => match.Groups["seconds"] is { Success: true, Value: var seconds } ? $"{seconds} s" : match.Groups["count"].Value);

        Assert.Equal(rules.OrderBy(rule => rule.Key), constants.Select(constant => KeyValuePair.Create(Rule(constant.Key), constant.Value))
            .OrderBy(rule => rule.Key));

        static string Rule(string constant) => constant switch
        {
            "Whole" => "interval of probes while it is up",
            "Broken" => "interval of probes while it is not up",
            "Silences" => "unanswered rounds that make it down while calls run there",
            "Patience" => "time allowed for an answer to a probe",
            "Tolerance" => "failures in a row that open the breaker",
            "LongestPause" => "longest pause of the breaker",
            "LongestAvoidance" => "longest avoidance after a 429 or 503",
            "Trial" => "trial after a pause",
            _ => $"{constant} has no row",
        };
    }

    private static List<T> Found<T>(Regex pattern, Func<Match, T> read, string? folder = null) =>
        [.. Repository.Sources().Where(source => folder is null || source.Folder == folder).SelectMany(source => pattern.Matches(source.Text)).Select(read)];

    private static IEnumerable<string> Names(string table) => Table(table).Select(row => Name(row[0])).Order(StringComparer.Ordinal);

    /// <summary>The rows of the table whose first column has this title.</summary>
    private static List<string[]> Table(string title)
    {
        var lines = Page.Split('\n').SkipWhile(line => !line.StartsWith($"| {title} |", StringComparison.Ordinal)).Skip(2)
            .TakeWhile(line => line.StartsWith('|'));
        var rows = lines.Select(line => line.Trim('|').Split('|', StringSplitOptions.TrimEntries)).ToList();
        Assert.NotEmpty(rows);
        return rows;
    }

    private static string Name(string cell) => cell.Trim('`');

    private static string Kebab(string name) => name == "WWWAuthenticate" ? "www-authenticate" : Capital().Replace(name, "-$0").ToLowerInvariant();

    [GeneratedRegex("""(?:text\.Head\(|AddHistogram\(|new(?: Gauge)?\(\s*)"(?<name>(?:proxy|process|dotnet|gen_ai)_[a-z_]+)"(?:, "(?<kind>counter|gauge|histogram)")?""")]
    private static partial Regex Metric();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex Suffix();

    [GeneratedRegex("([a-z_]+)=\"")]
    private static partial Regex LabelOf();

    [GeneratedRegex("""\.Add\(" ([a-z_]+)="u8""")]
    private static partial Regex Field();

    [GeneratedRegex("""LoggerMessage\(\d+, LogLevel\.(\w+),(?:(?!LoggerMessage)[\s\S])*?EventName = "(\w+)"\)""")]
    private static partial Regex Event();

    [GeneratedRegex("""(?:Is\(name, |eaders\.TryGetValue\(|eaders\.ContainsKey\()"([a-z0-9_-]+)"\)?""")]
    private static partial Regex HeaderByName();

    [GeneratedRegex("""(?:[rR]equest\.Headers|(?<![.\w])headers|(?<![.\w])request)\.(Authorization|Origin|Host|ContentEncoding|AccessControlRequest\w+)\b""")]
    private static partial Regex HeaderByProperty();

    [GeneratedRegex("""name\.StartsWith\("([a-z-]+)", StringComparison\.OrdinalIgnoreCase\)""")]
    private static partial Regex HeaderByPrefix();

    [GeneratedRegex("""(?:(?<![.\w])response|[rR]esponse\.Headers)\[(?:"([a-z0-9-]+)"|ProxyIdentity\.Header)\]""")]
    private static partial Regex SentByName();

    [GeneratedRegex("""(?:[rR]esponse\.Headers|(?<![.\w])response)\."""
        + """(RetryAfter|WWWAuthenticate|Allow|CacheControl|Vary|AccessControl\w+|ETag|Link|Location|Server)\b""")]
    private static partial Regex SentByProperty();

    [GeneratedRegex("""RequestIdHeader => "([a-z-]+)";""")]
    private static partial Regex RequestId();

    [GeneratedRegex("""new\("([a-z-]+)", """)]
    private static partial Regex ToHost();

    [GeneratedRegex("""(Is|StartsWith)\(name, "([a-z-]+)"u8\)""")]
    private static partial Regex FromHost();

    [GeneratedRegex(@"(?:static readonly TimeSpan (?<name>\w+) = TimeSpan\.FromSeconds\((?<seconds>\d+)\)|const int (?<name>\w+) = (?<count>\d+));")]
    private static partial Regex Constant();

    [GeneratedRegex("(?<!^)[A-Z]")]
    private static partial Regex Capital();
}
