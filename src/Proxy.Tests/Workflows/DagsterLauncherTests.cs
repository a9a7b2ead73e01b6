using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Workflows;
using Proxy.Workflows.Dagster;

namespace Proxy.Tests.Workflows;

/// <summary>What the launcher makes of answers that a real Dagster gives rarely. EndToEnd/DagsterTests has the real one.</summary>
public sealed class DagsterLauncherTests : IAsyncDisposable
{
    private readonly FakeBackend server = FakeBackend.Start();
    private readonly FakeTimeProvider time = new();
    private readonly DagsterLauncher launcher;
    private readonly Dictionary<string, Queue<string>> answers = [];
    private readonly List<string> asked = [];
    private string? missing;

    public DagsterLauncherTests()
    {
        launcher = new(NullLogger.Instance, time);
        Answers("repositoriesOrError", """
            {"__typename":"RepositoryConnection","nodes":[{"name":"r","location":{"name":"l"},"jobs":[{"name":"__ASSET_JOB"},{"name":"research"}]}]}
            """);
        Answers("runsOrError", """{"__typename":"Runs","results":[]}""");
        Answers("launchRun", """{"__typename":"LaunchRunSuccess","run":{"runId":"run-1"}}""");
        Answers("terminateRun", """{"__typename":"TerminateRunSuccess"}""");
        Answers("runOrError", """{"__typename":"Run","status":"STARTED"}""");
        server.Answer(AnswerAsync);
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Job_is_launched_With_its_document_as_configuration_and_its_ids_as_tags()
    {
        await using var run = await LaunchAsync();

        Assert.Equal("run-1", run.RunId);
        var sent = Asked("launchRun").GetProperty("variables").GetProperty("params");
        Assert.Equal("""{"repositoryLocationName":"l","repositoryName":"r","jobName":"research"}""", sent.GetProperty("selector").GetRawText());
        Assert.Equal(
            Document, sent.GetProperty("runConfigData").GetProperty("resources").GetProperty("proxy").GetProperty("config").GetProperty("job").GetString());
        Assert.Equal(
            ["proxy/trace_id=TRACE", "proxy/pipeline=p", "proxy/correlation_id=C", "dagster/max_runtime=600"],
            sent.GetProperty("executionMetadata").GetProperty("tags").EnumerateArray()
                .Select(static tag => $"{tag.GetProperty("key").GetString()}={tag.GetProperty("value").GetString()}"));
    }

    [Fact]
    public async Task Schema_lacks_what_is_used_The_launch_fails_and_names_it_until_it_is_there()
    {
        missing = "SAFE_TERMINATE";
        var problem = await Assert.ThrowsAsync<LaunchException>(LaunchAsync);
        Assert.Contains("TerminateRunPolicy.SAFE_TERMINATE is missing", problem.Message, StringComparison.Ordinal);
        Assert.Empty(asked);

        missing = null;
        await using var run = await LaunchAsync();
        Assert.Equal("run-1", run.RunId);
    }

    [Theory]
    [InlineData("""{"__typename":"UnauthorizedError","message":"no right"}""", nameof(ProxyErrorKind.HostUnauthorized),
        "does not let the proxy launch runs: no right")]
    [InlineData("""{"__typename":"PythonError","message":"Disk\nfull"}""", nameof(ProxyErrorKind.HostFailed), "refuses the run (PythonError): Disk full")]
    [InlineData("""{"__typename":"SomethingNew"}""", nameof(ProxyErrorKind.HostFailed), "refuses the run (SomethingNew)")]
    public async Task Dagster_refuses_the_launch_The_reason_is_told(string answer, string kind, string message)
    {
        Answers("launchRun", answer);

        var problem = await Assert.ThrowsAsync<LaunchException>(LaunchAsync);

        Assert.Equal(kind, $"{problem.Error.Kind}");
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_wants_a_login_Or_is_no_Dagster_It_is_told()
    {
        server.Answer(static exchange => exchange.JsonAsync("{}", 401));
        Assert.Contains("it wants a login", (await Assert.ThrowsAsync<LaunchException>(LaunchAsync)).Message, StringComparison.Ordinal);

        server.Answer(static exchange => exchange.WholeAsync(404, "text/html", "<html>"));
        Assert.Contains("is it the address of dagster-webserver?", (await Assert.ThrowsAsync<LaunchException>(LaunchAsync)).Message, StringComparison.Ordinal);

        server.Answer(static exchange => exchange.JsonAsync("""{"errors":[{"message":"Cannot query field"}]}""", 400));
        Assert.Contains(
            "refuses what the proxy asks: Cannot query field", (await Assert.ThrowsAsync<LaunchException>(LaunchAsync)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_has_a_run_already_It_is_used()
    {
        Answers("runsOrError", """{"__typename":"Runs","results":[{"runId":"made"}]}""");

        await using var run = await LaunchAsync();

        Assert.Equal("made", run.RunId);
        Assert.DoesNotContain(asked, static question => question.Contains("launchRun(", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Answer_to_the_launch_is_lost_The_run_is_found_by_its_tag()
    {
        Answers("launchRun", "");
        Answers("runsOrError", """{"__typename":"Runs","results":[]}""", """{"__typename":"Runs","results":[{"runId":"made"}]}""");

        await using var run = await LaunchAsync();

        Assert.Equal("made", run.RunId);
    }

    [Fact]
    public async Task Job_is_in_two_places_The_error_lists_them_and_the_configuration_decides()
    {
        Answers("repositoriesOrError", """
            {"__typename":"RepositoryConnection","nodes":[{"name":"r","location":{"name":"one"},"jobs":[{"name":"research"}]},
            {"name":"r","location":{"name":"two"},"jobs":[{"name":"research"},{"name":"other"}]}]}
            """);

        var problem = await Assert.ThrowsAsync<LaunchException>(LaunchAsync);
        Assert.Contains("location \"one\" with repository \"r\", location \"two\" with repository \"r\"", problem.Message, StringComparison.Ordinal);
        await using var run = await launcher.LaunchAsync(NewJob(Pipeline with { Location = "two" }), Stop);
        var selector = Asked("launchRun").GetProperty("variables").GetProperty("params").GetProperty("selector");
        Assert.Equal("two", selector.GetProperty("repositoryLocationName").GetString());
        var unknown = await Assert.ThrowsAsync<LaunchException>(async () => await launcher.LaunchAsync(NewJob(Pipeline with { Job = "lost" }), Stop));
        Assert.Contains("has no job lost; it has research, research, other", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Document_is_too_large_The_job_is_refused_with_413()
    {
        var job = NewJob(Pipeline) with { Document = new byte[DagsterLauncher.LongestDocument + 1] };

        var problem = await Assert.ThrowsAsync<LaunchException>(async () => await launcher.LaunchAsync(job, Stop));

        Assert.Equal(413, problem.Error.Status);
        Assert.Empty(asked);
    }

    [Fact]
    public async Task Run_does_not_end_when_told_It_is_marked_as_cancelled_after_a_grace()
    {
        await using (var run = await LaunchAsync()) await run.CancelAsync();
        Assert.Equal("SAFE_TERMINATE", Policy());

        // Disposing the run does not end the watch.
        await Patience.Until(async () =>
        {
            time.Advance(TimeSpan.FromSeconds(0.5));
            await Task.Delay(5, Stop);
            return Policy() == "MARK_AS_CANCELED_IMMEDIATELY";
        }, "the run is marked");
        Assert.Equal(2, asked.Count(static question => question.Contains("terminateRun", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Server_is_away_for_a_while_The_run_goes_on()
    {
        Answers("runOrError", "", "", """{"__typename":"PythonError","message":"database is locked"}""", """{"__typename":"Run","status":"SUCCESS"}""");
        await using var run = await LaunchAsync();

        await Patience.Until(async () =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(5, Stop);
            return run.Ended.IsCompleted;
        }, "the run ends");

        Assert.Null((await run.Ended).Error);
    }

    [Fact]
    public async Task Client_leaves_during_the_launch_The_run_is_ended()
    {
        using var leaving = new CancellationTokenSource();
        var release = new TaskCompletionSource();
        server.Answer(async exchange =>
        {
            if (exchange.Request.Text.Contains("launchRun(", StringComparison.Ordinal)) await release.Task;
            await AnswerAsync(exchange);
        });
        var launch = launcher.LaunchAsync(NewJob(Pipeline), leaving.Token).AsTask();
        await Patience.Until(
            () => Task.FromResult(server.Calls.Any(static call => call.Text.Contains("launchRun(", StringComparison.Ordinal))), "the launch is sent");

        await leaving.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => launch);
        release.SetResult();

        await Patience.Until(() => Task.FromResult(Policy() == "SAFE_TERMINATE"), "the run is ended");
    }

    public async ValueTask DisposeAsync()
    {
        launcher.Dispose();
        await server.DisposeAsync();
    }

    private const string Document = """{"trace_id":"TRACE","correlation_id":"C","messages":[{"role":"user","content":"grüß \"dich\""}]}""";

    private PipelineConfig Pipeline => new() { Name = "p", Launcher = "dagster", Url = server.Url + "/", Job = "research" };

    private Job NewJob(PipelineConfig pipeline) => new(pipeline, "TRACE", Encoding.UTF8.GetBytes(Document), time.GetUtcNow() + TimeSpan.FromMinutes(10));

    private async Task<IJobRun> LaunchAsync() => await launcher.LaunchAsync(NewJob(Pipeline), Stop);

    /// <summary>Answers to questions for this field, one after the other; the last again and again. Empty: the connection is closed.</summary>
    private void Answers(string field, params string[] data) => answers[field] = new(data);

    private JsonElement Asked(string field)
    {
        lock (asked) return JsonElement.Parse(asked.Last(question => question.Contains(field + "(", StringComparison.Ordinal)));
    }

    private string? Policy()
    {
        lock (asked)
            return asked.Exists(static question => question.Contains("terminateRun(", StringComparison.Ordinal))
                ? JsonElement.Parse(asked.Last(static question => question.Contains("terminateRun(", StringComparison.Ordinal)))
                    .GetProperty("variables").GetProperty("policy").GetString()
                : null;
    }

    private async Task AnswerAsync(FakeExchange exchange)
    {
        var question = exchange.Request.Text;
        Assert.EndsWith("/graphql", exchange.Request.Target, StringComparison.Ordinal);
        if (question.Contains("__type(", StringComparison.Ordinal))
        {
            await exchange.JsonAsync($$"""{"data": {"__type": {"fields":[{{Members()}}],"inputFields":null,"enumValues":null} } }""");
            return;
        }

        string data;
        lock (asked)
        {
            asked.Add(question);
            var queue = answers.First(pair => question.Contains(pair.Key, StringComparison.Ordinal)).Value;
            data = queue.Count > 1 ? queue.Dequeue() : queue.Peek();
        }

        if (data.Length > 0) await exchange.JsonAsync($$"""{"data":{"field": {{data.ReplaceLineEndings(" ")}} } }""");
    }

    /// <summary>Every member that any type is asked for.</summary>
    private string Members() => string.Join(',', new[]
    {
        "repositoriesOrError", "runsOrError", "runOrError", "logsForRun", "launchRun", "terminateRun", "selector", "runConfigData", "executionMetadata",
        "repositoryName", "repositoryLocationName", "jobName", "tags", "key", "value", "SAFE_TERMINATE", "MARK_AS_CANCELED_IMMEDIATELY", "run", "runId",
        "status",
    }.Where(name => name != missing).Select(static name => $$"""{"name":"{{name}}"}"""));
}
