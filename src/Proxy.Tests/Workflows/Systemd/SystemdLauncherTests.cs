using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Proxy.Config;
using Proxy.Tests.Harness;
using Proxy.Workflows;
using Proxy.Workflows.Systemd;

namespace Proxy.Tests.Workflows.Systemd;

/// <summary>Jobs as units of a real systemd, launched by root over its D-Bus.</summary>
[Trait("Category", "System")]
[Collection(WorkflowBox.Shared)]
public sealed class SystemdLauncherTests(WorkflowBox box) : IAsyncLifetime
{
    private const string Folder = "/run/proxy/jobs";

    private static int calls;

    private readonly string trace = $"01JJJJJJJJJJJJJJJJJJJJ{Interlocked.Increment(ref calls):D4}";
    private readonly byte[] document = Encoding.UTF8.GetBytes("{\"trace_id\":\"it\",\"text\":\"ä\"}");
    private SystemdBus bus = null!;
    private JobFiles files = null!;
    private SystemdLauncher launcher = null!;

    public async ValueTask InitializeAsync()
    {
        await box.BootAsync();
        bus = new SystemdBus(box.Inside(SystemdBus.Usual));
        files = new JobFiles(box.Inside(Folder));
        await box.RunAsync("mkdir", "-p", Folder);
        launcher = new SystemdLauncher(files, bus, NullLogger.Instance, TimeProvider.System);
    }

    public ValueTask DisposeAsync()
    {
        launcher?.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>A worker that keeps its job and waits for the test.</summary>
    private const string Waits = "ExecStart=/bin/sh -c 'cat >/run/got-%i; until [ -e /run/go-%i ]; do sleep 0.05; done'";

    [Theory]
    [InlineData("oneshot", "activating")]
    [InlineData("exec", "active")]
    [InlineData("simple", "active")]
    public async Task Unit_works_The_launch_has_returned_and_the_end_is_told_when_it_is_over(string type, string state)
    {
        await box.TemplateAsync($"works-{type}@", $"Type={type}\n{Waits}");

        await using var run = await LaunchAsync($"works-{type}");

        var got = box.Inside($"/run/got-{trace}");
        await Patience.Until(() => Task.FromResult(File.Exists(got) && new FileInfo(got).Length == document.Length), "the job has arrived");
        Assert.Equal(document, await File.ReadAllBytesAsync(got, TestContext.Current.CancellationToken));
        Assert.Equal($"works-{type}@{trace}.service", run.RunId);
        Assert.Equal(state, await box.ShowAsync(run.RunId!, "ActiveState"));
        Assert.False(run.Ended.IsCompleted);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(JobFile));

        await box.RunAsync("touch", $"/run/go-{trace}");

        var end = await Patience.For(run.Ended, "the end");
        Assert.Equal($"the unit {run.RunId} ended without the event \"finished\"", end.Error?.Message);
        Assert.False(File.Exists(JobFile));
    }

    [Theory]
    [InlineData("oneshot", "/bin/sh -c 'exit 3'", "exit-code, status 3")]
    [InlineData("exec", "/bin/sh -c 'sleep 0.3; exit 3'", "exit-code, status 3")]
    [InlineData("oneshot", "/bin/sh -c 'kill -KILL $$$$'", "signal, signal 9")]
    [InlineData("oneshot", "/bin/nothing", "exit-code, status 203, with which systemd says that it could not prepare the program (man systemd.exec)")]
    [InlineData("exec", "/bin/nothing", "exit-code, status 203, with which systemd says that it could not prepare the program (man systemd.exec)")]
    public async Task Unit_fails_The_end_says_how(string type, string program, string how)
    {
        await box.TemplateAsync("fails@", $"Type={type}\nExecStart={program}");

        await using var run = await LaunchAsync("fails");

        Assert.Equal($"the unit {run.RunId} failed: {how}", (await Patience.For(run.Ended, "the end")).Error?.Message);
        Assert.False(File.Exists(JobFile));
    }

    [Theory]
    [InlineData("oneshot")]
    [InlineData("exec")]
    public async Task Job_is_cancelled_The_unit_is_stopped_and_gone(string type)
    {
        await box.TemplateAsync("cancelled@", $"Type={type}\n{Waits}");
        await using var run = await LaunchAsync("cancelled");
        await Patience.Until(() => Task.FromResult(File.Exists(box.Inside($"/run/got-{trace}"))), "the job has arrived");

        await run.CancelAsync();

        Assert.NotNull((await Patience.For(run.Ended, "the end")).Error);
        Assert.Equal("inactive", await box.ShowAsync(run.RunId!, "ActiveState"));
        Assert.False(File.Exists(JobFile));
        await run.CancelAsync(); // does nothing
    }

    [Fact]
    public async Task Dbus_restarts_in_mid_job_The_end_is_told_all_the_same_and_the_next_job_is_launched()
    {
        await box.TemplateAsync("patient@", $"Type=oneshot\n{Waits}");
        await using var run = await LaunchAsync("patient");
        var link = await bus.LinkAsync();

        await box.RunAsync("systemctl", "kill", "--signal=KILL", "dbus");
        await Patience.For(link.Closed, "the loss of the connection");
        await box.RunAsync("touch", $"/run/go-{trace}");

        Assert.NotNull((await Patience.For(run.Ended, "the end")).Error);
        Assert.NotSame(link, await bus.LinkAsync());
        await box.RunAsync("rm", $"/run/go-{trace}");
        await using var next = await LaunchAsync("patient");
        await next.CancelAsync();
    }

    [Theory]
    [InlineData("Restart=on-failure\nExecStart=/bin/true", "sets Restart=on-failure")]
    [InlineData("Type=exec", "systemd cannot use the unit")]
    [InlineData(null, "there is no unit")]
    public async Task Template_cannot_run_jobs_The_launch_is_refused_and_says_why(string? service, string why)
    {
        if (service is not null) await box.TemplateAsync("unfit@", service);
        else await box.TryAsync("rm", "/etc/systemd/system/unfit@.service");
        await box.RunAsync("systemctl", "daemon-reload");

        var refused = await Assert.ThrowsAsync<LaunchException>(() => LaunchAsync("unfit"));

        Assert.Contains(why, refused.Message, StringComparison.Ordinal);
        Assert.Contains($"unfit@{trace}.service", refused.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(JobFile));
    }

    [Fact]
    public async Task There_is_no_dbus_or_no_service_The_launcher_is_absent()
    {
        using var nowhere = new SystemdLauncher(files, new SystemdBus("/nowhere/socket"), NullLogger.Instance, TimeProvider.System);
        using var noService = new SystemdLauncher(JobFiles.Find(static _ => null), bus, NullLogger.Instance, TimeProvider.System);
        var pipeline = Pipeline("any");

        Assert.Contains("install the package dbus", nowhere.Absent(pipeline), StringComparison.Ordinal);
        Assert.Contains("RUNTIME_DIRECTORY", noService.Absent(pipeline), StringComparison.Ordinal);
        Assert.Null(launcher.Absent(pipeline));
        await Assert.ThrowsAsync<LaunchException>(() => nowhere.LaunchAsync(Job("any"), CancellationToken.None).AsTask());
    }

    [Fact]
    public async Task Proxy_was_killed_Only_files_that_no_unit_needs_are_removed()
    {
        await box.TemplateAsync("kept@", $"Type=oneshot\n{Waits}");
        await using var run = await LaunchAsync("kept");
        files.Write("OLD", document);
        files.Write("NEW", document);
        var yesterday = DateTime.UtcNow.AddDays(-1);
        File.SetLastWriteTimeUtc(JobFile, yesterday);
        File.SetLastWriteTimeUtc(box.Inside($"{Folder}/OLD.json"), yesterday);

        await launcher.CleanAsync(CancellationToken.None);

        Assert.True(File.Exists(JobFile)); // its unit runs
        Assert.False(File.Exists(box.Inside($"{Folder}/OLD.json")));
        Assert.True(File.Exists(box.Inside($"{Folder}/NEW.json"))); // its unit may be about to be started
        files.Delete("NEW");
        await run.CancelAsync();
    }

    private string JobFile => box.Inside($"{Folder}/{trace}.json");

    private static PipelineConfig Pipeline(string template) => new() { Name = "p", Launcher = "systemd", Unit = template + "@{trace_id}.service" };

    private Job Job(string template) => new(Pipeline(template), trace, document, DateTimeOffset.MaxValue);

    private Task<IJobRun> LaunchAsync(string template) =>
        Patience.For(launcher.LaunchAsync(Job(template), TestContext.Current.CancellationToken).AsTask(), "the launch");
}
