using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;
using Proxy.Tests.Rules;

namespace Proxy.Tests.EndToEnd;

/// <summary>A real Prometheus reads the metrics, and every query of the dashboard and of the alerts finds data.</summary>
public sealed partial class MonitoringTests(MonitoredHouse house) : IClassFixture<MonitoredHouse>
{
    private static readonly JsonElement Dashboard = JsonElement.Parse(Repository.Read("packaging/grafana/proxy-dashboard.json"));

    private static IEnumerable<JsonElement> Panels => Dashboard.GetProperty("panels").EnumerateArray();

    [Fact]
    public async Task Every_query_of_the_dashboard_Finds_data()
    {
        var empty = new List<string>();
        var asked = 0;
        foreach (var panel in Panels.Where(static panel => panel.GetProperty("type").GetString() is not ("row" or "logs")))
        {
            foreach (var target in panel.GetProperty("targets").EnumerateArray())
            {
                var query = Variable().Replace(target.GetProperty("expr").GetString()!.Replace("$__rate_interval", "30s", StringComparison.Ordinal), ".*");
                asked++;
                if ((await house.ValuesAsync(query)).Count == 0) empty.Add($"{panel.GetProperty("title").GetString()}: {query}");
            }
        }

        Assert.Empty(empty);
        Assert.True(asked > 60, $"only {asked} queries");
    }

    [Fact]
    public async Task Every_query_of_a_variable_of_the_dashboard_Finds_values()
    {
        foreach (var variable in Dashboard.GetProperty("templating").GetProperty("list").EnumerateArray())
        {
            if (variable.GetProperty("type").GetString() != "query") continue;
            var query = LabelValues().Match(variable.GetProperty("query").GetProperty("query").GetString()!);
            var series = Variable().Replace(query.Groups["series"].Value, ".*");

            var found = (await house.AskAsync("query", $"count by ({query.Groups["label"].Value}) ({series})")).GetProperty("result");

            Assert.True(found.GetArrayLength() > 0, query.Value);
        }
    }

    [Fact]
    public async Task Every_rule_Is_evaluated_without_an_error_and_its_query_finds_data()
    {
        var rules = (await house.AskAsync("rules", "")).GetProperty("groups").EnumerateArray()
            .SelectMany(static group => group.GetProperty("rules").EnumerateArray()).ToArray();

        Assert.True(rules.Length > 10, $"only {rules.Length} rules");
        foreach (var rule in rules)
        {
            var query = rule.GetProperty("query").GetString()!;
            Assert.True(rule.GetProperty("health").GetString() is "ok" or "unknown", $"{query}: {rule}");
            var compared = Comparison().Match(query);
            Assert.True(compared.Success, $"{query} compares with nothing");
            Assert.True((await house.ValuesAsync(query[..compared.Index])).Count > 0, $"{query} finds no data");
        }
    }

    [Fact]
    public async Task Store_and_NATS_cannot_be_reached_The_alerts_say_so()
    {
        var pending = await house.ValuesAsync("ALERTS{alertname=~\"ProxySpooling|ProxyNatsDown\"}");

        Assert.Equal(2, pending.Count);
    }

    [Fact]
    public async Task Metrics_and_rules_Promtool_finds_no_fault()
    {
        var start = new ProcessStartInfo("promtool", ["check", "metrics"])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        using var promtool = Process.Start(start)!;
        await promtool.StandardInput.WriteAsync(house.Text);
        promtool.StandardInput.Close();
        var output = await promtool.StandardOutput.ReadToEndAsync() + await promtool.StandardError.ReadToEndAsync();
        await promtool.WaitForExitAsync();

        Assert.Equal((0, ""), (promtool.ExitCode, output));
        await Command.RunAsync("promtool", "check", "rules", Path.Combine(Repository.Root, "packaging/grafana/proxy-alerts.yml"));
    }

    [Fact]
    public async Task Bodies_are_asked_for_The_file_has_each_call_s_request_and_answer()
    {
        Assert.Contains("\nproxy_bodies_lost_total 0\n", house.Text, StringComparison.Ordinal);

        var lines = (await File.ReadAllLinesAsync(house.BodiesFile)).Select(static line => JsonElement.Parse(line)).ToArray();

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(house.BodiesFile));
        var call = lines.Where(static line => line.GetProperty("kind").GetString() == "answer" && line.GetProperty("body").GetArrayLength() > 3)
            .Select(static line => line.GetProperty("trace_id").GetString()).First();
        var (request, answer) = (lines.Single(line => Is(line, "request")), lines.Single(line => Is(line, "answer")));
        Assert.Equal("hello", request.GetProperty("body")[0].GetProperty("messages")[0].GetProperty("content").GetString());
        Assert.Equal("one two three", string.Concat(answer.GetProperty("body").EnumerateArray().SelectMany(static chunk => chunk.GetProperty("choices")
            .EnumerateArray()).Select(static choice => choice.GetProperty("delta").TryGetProperty("content", out var text) ? text.GetString() : "")));

        bool Is(JsonElement line, string kind) => line.GetProperty("trace_id").GetString() == call && line.GetProperty("kind").GetString() == kind;
    }

    [Fact]
    public void Panels_do_not_overlap_and_each_has_a_number_of_its_own()
    {
        var places = Panels.Select(static panel => panel.GetProperty("gridPos")).SelectMany(static place =>
            from x in Enumerable.Range(place.GetProperty("x").GetInt32(), place.GetProperty("w").GetInt32())
            from y in Enumerable.Range(place.GetProperty("y").GetInt32(), place.GetProperty("h").GetInt32())
            select (x, y)).ToArray();

        Assert.Distinct(places);
        Assert.All(places, static place => Assert.InRange(place.x, 0, 23));
        Assert.Distinct(Panels.Select(static panel => panel.GetProperty("id").GetInt32()));
    }

    /// <summary>A variable of the dashboard; all of them stand for "every value".</summary>
    [GeneratedRegex(@"\$\w+")]
    private static partial Regex Variable();

    [GeneratedRegex(@"^label_values\((?<series>.*), (?<label>\w+)\)$")]
    private static partial Regex LabelValues();

    /// <summary>The comparison at the end of an alert's query.</summary>
    [GeneratedRegex(@" (==|>|<) [0-9.]+$")]
    private static partial Regex Comparison();
}
