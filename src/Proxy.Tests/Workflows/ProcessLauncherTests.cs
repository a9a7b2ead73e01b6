using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Config;
using Proxy.Tests.Backends;
using Proxy.Tests.Harness;
using Proxy.Workflows;
using Proxy.Workflows.Processes;

namespace Proxy.Tests.Workflows;

/// <summary>Real programs as jobs: however they behave, each ends with a result that says why, and none of its processes is left.</summary>
public sealed class ProcessLauncherTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-jobs-").FullName;
    private readonly Lines log = new();
    private readonly ProcessLauncher launcher;
    private readonly string trace = Guid.NewGuid().ToString("N")[..26].ToUpperInvariant();

    public ProcessLauncherTests() => launcher = new(log, TimeProvider.System);

    public void Dispose()
    {
        launcher.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Document_Is_its_stdin_and_what_it_writes_comes_out()
    {
        var document = new string('x', 3 << 20); // more than a pipe holds
        var run = await LaunchAsync("read -r line; printf '%s\\n' \"${#line}\"; cat; echo done", document + "\nsecond\n");

        Assert.Equal($"{3 << 20}\nsecond\ndone\n", await ReadAsync(run));
        Assert.Null((await EndAsync(run)).Error);
        await GoneAsync();
    }

    [Fact]
    public async Task Document_is_not_read_The_job_succeeds()
    {
        var run = await LaunchAsync("echo unread", new string('x', 3 << 20));

        Assert.Equal("unread\n", await ReadAsync(run));
        Assert.Null((await EndAsync(run)).Error);
    }

    [Fact]
    public async Task Environment_Has_what_a_program_needs_and_no_secret()
    {
        Environment.SetEnvironmentVariable("PROXY_TEST_API_KEY", "secret-of-the-service");
        try
        {
            var said = (await ReadAsync(await LaunchAsync("env"))).Split('\n', StringSplitOptions.RemoveEmptyEntries);

            Assert.Contains($"PROXY_TRACE_ID={trace}", said);
            Assert.Contains("PROXY_PIPELINE=p", said);
            Assert.Contains(said, static line => line.StartsWith("PATH=/", StringComparison.Ordinal));
            string[] known = ["PATH", "HOME", "LANG", "TMPDIR", "PROXY_TRACE_ID", "PROXY_PIPELINE", "PWD", "SHLVL", "_", "OLDPWD"]; // the last are the shell's
            Assert.Empty(said.Select(static line => line.Split('=')[0]).Except(known));
        }
        finally
        {
            Environment.SetEnvironmentVariable("PROXY_TEST_API_KEY", null);
        }
    }

    [Fact]
    public async Task Program_Has_a_group_of_its_own_no_descriptor_of_ours_and_the_usual_signals()
    {
        await using var ours = File.Open(Path.Combine(folder, "ours"), FileMode.Create);
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var said = await ReadAsync(await LaunchAsync(
            // The shell reads its own state: while it starts another program, it blocks signals.
            "ps -o pid=,pgid=,sid= -p $$; while IFS= read -r line; do case $line in SigBlk*|SigIgn*) echo \"$line\";; esac; done < /proc/$$/status; "
            + "ls -l /proc/$$/fd"));
        var lines = said.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Single(Regex.Matches(lines[0], "[0-9]+").Select(static number => number.Value).Distinct());
        Assert.Equal(["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"], lines[1..3]);
        // Whoever started the tests may have left some open; none is one that was opened here.
        Assert.DoesNotContain(lines[3..], static line => Regex.IsMatch(line, "ours|socket:|anon_inode|\\.(dll|so)"));
        Assert.Contains(lines[3..], static line => line.Contains(" 0 -> /memfd:job", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Program_fails_The_end_has_its_exit_code_and_last_words()
    {
        var run = await LaunchAsync("echo '{}'; echo first >&2; echo 'no model is loaded' >&2; exit 3");

        Assert.Equal("{}\n", await ReadAsync(run));
        Assert.Equal("the job failed with exit code 3: no model is loaded", (await EndAsync(run)).Error!.Message);
        await Patience.Until(() => Task.FromResult(log.All.Count == 2), "its lines are in the log");
        Assert.Contains($"Call {trace}: its job writes: first", log.All[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Program_is_killed_by_another_The_end_says_by_which_signal()
    {
        var run = await LaunchAsync("echo $$; kill -9 $$");

        await ReadAsync(run);
        Assert.Equal("the job was ended by signal 9", (await EndAsync(run)).Error!.Message);
        await GoneAsync();
    }

    [Theory]
    [InlineData("/no/such/program", "/no/such/program cannot be started: No such file or directory")]
    [InlineData("/etc/passwd", "/etc/passwd cannot be started: Permission denied")]
    public async Task Program_cannot_be_started_The_error_names_it(string program, string expected)
    {
        var pipeline = Pipeline(program);

        var refused = await Assert.ThrowsAsync<LaunchException>(async () => await launcher.LaunchAsync(Job(pipeline, ""), default));

        Assert.Equal(expected, refused.Message);
        Assert.Contains(program, launcher.Absent(pipeline), StringComparison.Ordinal);
        Assert.Null(launcher.Absent(Pipeline("/bin/sh")));
    }

    [Fact]
    public async Task Interpreter_is_missing_The_error_says_so()
    {
        var script = Path.Combine(folder, "script");
        await File.WriteAllTextAsync(script, "#!/no/such/interpreter\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);

        var refused = await Assert.ThrowsAsync<LaunchException>(async () => await launcher.LaunchAsync(Job(Pipeline(script), ""), default));

        Assert.Equal($"{script} cannot be started: the interpreter that its first line names is missing", refused.Message);
    }

    [Fact]
    public async Task Output_floods_The_program_waits_for_its_reader()
    {
        var run = await LaunchAsync("echo $$; exec cat /dev/zero");
        var pieces = run.Output!.GetAsyncEnumerator();
        Assert.True(await NextAsync(pieces));

        // A process that waits in a write uses no processor time.
        await Patience.Until(async () =>
        {
            var before = Written();
            await Task.Delay(200);
            return Written() == before;
        }, "the program waits");
        Assert.InRange(Written(), 1, 1 << 20);

        await pieces.DisposeAsync();
        await run.CancelAsync();
        Assert.Contains("it was cancelled", (await EndAsync(run)).Error!.Message, StringComparison.Ordinal);
        await GoneAsync();

        long Written() => Left().Select(static id => File.ReadLines($"/proc/{id}/io").First(static line => line.StartsWith("wchar:", StringComparison.Ordinal)))
            .Sum(static line => long.Parse(line.AsSpan(6), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture));
    }

    [Fact]
    public async Task Stderr_floods_The_log_gets_a_part_and_the_number_of_the_rest()
    {
        var run = await LaunchAsync("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done >&2; head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1");

        await ReadAsync(run);
        var end = await EndAsync(run);

        Assert.EndsWith("xxxx", end.Error!.Message, StringComparison.Ordinal);
        Assert.InRange(end.Error.Message.Length, 100, 1200);
        await Patience.Until(() => Task.FromResult(log.All.Count == ProcessRun.MostLines + 1), "the log has a part");
        Assert.Matches("48[0-9]{2} more lines", log.All[^1]);
    }

    [Fact]
    public async Task Program_ignores_SIGTERM_It_is_killed_with_its_children()
    {
        var run = await LaunchAsync("trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000 & echo ready; while :; do sleep 1; done");
        var pieces = run.Output!.GetAsyncEnumerator();
        Assert.True(await NextAsync(pieces));
        Assert.InRange(Left().Count, 3, 4);

        await run.CancelAsync();
        while (await NextAsync(pieces))
        {
        }

        Assert.Contains("it was cancelled", (await EndAsync(run)).Error!.Message, StringComparison.Ordinal);
        await GoneAsync();
        Assert.Contains(log.All, static line => line.StartsWith("job_killed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Program_obeys_SIGTERM_It_has_time_to_end_well()
    {
        var run = await LaunchAsync("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        var pieces = run.Output!.GetAsyncEnumerator();
        Assert.True(await NextAsync(pieces));

        await run.CancelAsync();
        Assert.True(await NextAsync(pieces));

        Assert.Equal("bye\n", Encoding.UTF8.GetString(pieces.Current.Span));
        Assert.False(await NextAsync(pieces));
        Assert.NotNull((await EndAsync(run)).Error); // an end that was asked for is no success
        await GoneAsync();
    }

    [Fact]
    public async Task Program_is_stopped_Cancelled_it_ends()
    {
        var run = await LaunchAsync("kill -STOP $$; echo never");

        await run.CancelAsync();

        Assert.Equal("", await ReadAsync(run));
        Assert.NotNull((await EndAsync(run)).Error);
        await GoneAsync();
    }

    [Theory]
    [InlineData("sleep 1000 &")]
    [InlineData("sleep 1000 >/dev/null 2>&1 &")]
    [InlineData("setsid sleep 1000 &")] // leaves the session and the group
    [InlineData("setsid setsid sleep 1000 >/dev/null 2>&1 </dev/null &")]
    [InlineData("env -i sleep 1000 &")] // stays in the group
    [InlineData("(trap '' TERM; exec setsid sleep 1000) &")]
    public async Task Children_are_left_behind_They_are_ended(string fork)
    {
        var run = await LaunchAsync($"{fork} echo $!; sleep 0.2");

        var child = int.Parse(await ReadAsync(run), CultureInfo.InvariantCulture);
        Assert.Null((await EndAsync(run)).Error);
        await GoneAsync();
        await Patience.Until(() => Task.FromResult(!IsAlive(child)), "the child has ended");
    }

    [Fact]
    public async Task Child_writes_after_the_program_has_ended_It_is_read_to_its_end()
    {
        var run = await LaunchAsync("(sleep 0.3; echo late) & echo early");

        Assert.Equal("early\nlate\n", await ReadAsync(run));
        Assert.Null((await EndAsync(run)).Error);
        await GoneAsync();
    }

    [Fact]
    public async Task Run_is_disposed_The_program_goes_on_to_its_end()
    {
        var run = await LaunchAsync("head -c 300000 /dev/zero; echo kept > kept", folderOf: true);

        await run.DisposeAsync();

        Assert.Null((await EndAsync(run)).Error);
        Assert.Equal("kept\n", await File.ReadAllTextAsync(Path.Combine(folder, "kept")));
    }

    [Fact]
    public async Task Deadline_passes_without_a_reader_The_program_is_ended()
    {
        var run = await LaunchAsync("exec sleep 1000", left: TimeSpan.FromSeconds(-4)); // the launcher adds 5 s

        await run.DisposeAsync();

        Assert.Equal("the job was ended: it took longer than the pipeline's timeout", (await EndAsync(run)).Error!.Message);
        await GoneAsync();
    }

    [Fact]
    public async Task Launcher_is_disposed_All_its_programs_end()
    {
        var run = await LaunchAsync("trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 1; done");
        var pieces = run.Output!.GetAsyncEnumerator(); // a reader that has stopped reading
        Assert.True(await NextAsync(pieces));

        launcher.Dispose();

        Assert.Empty(Left());
        await Assert.ThrowsAsync<LaunchException>(() => LaunchAsync("echo"));
    }

    [Fact]
    public async Task Many_run_at_once_Each_gets_its_own_end()
    {
        var ends = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            var job = Job(Pipeline("/bin/sh", "-c", $"cat; exit {i % 3}"), $"{i}");
            var run = await launcher.LaunchAsync(job with { TraceId = trace + i }, default);
            return (i, await ReadAsync(run), (await EndAsync(run)).Error?.Message);
        }));

        Assert.All(ends, static end =>
        {
            var (i, said, error) = end;
            Assert.Equal((i.ToString(CultureInfo.InvariantCulture), i % 3 == 0 ? null : $"the job failed with exit code {i % 3}"), (said, error));
        });
        await GoneAsync();
    }

    private async Task<IJobRun> LaunchAsync(string script, string document = "", TimeSpan? left = null, bool folderOf = false) => await launcher.LaunchAsync(
        Job(Pipeline("/bin/sh", "-c", folderOf ? $"cd {folder}; {script}" : script), document, left), default);

    private static PipelineConfig Pipeline(params string[] command) => new() { Name = "p", Launcher = "process", Command = command };

    private Job Job(PipelineConfig pipeline, string document, TimeSpan? left = null) =>
        new(pipeline, trace, Encoding.UTF8.GetBytes(document), DateTimeOffset.UtcNow + (left ?? TimeSpan.FromMinutes(5)));

    private static async Task<string> ReadAsync(IJobRun run)
    {
        var text = new StringBuilder();
        await using var pieces = run.Output!.GetAsyncEnumerator();
        while (await NextAsync(pieces)) text.Append(Encoding.UTF8.GetString(pieces.Current.Span));
        return text.ToString();
    }

    private static Task<bool> NextAsync(IAsyncEnumerator<ReadOnlyMemory<byte>> pieces) =>
        Patience.For(pieces.MoveNextAsync().AsTask(), "the job's next output, or its end");

    private static Task<JobEnd> EndAsync(IJobRun run) => Patience.For(run.Ended, "the job's end");

    private Task GoneAsync() => Patience.Until(() => Task.FromResult(Left().Count == 0), "no process of the job is left");

    /// <summary>The job's processes, by their environment.</summary>
    private List<int> Left() =>
    [
        .. from process in Process.GetProcesses()
           let id = process.Id
           where Environ(id).Contains($"PROXY_TRACE_ID={trace}", StringComparison.Ordinal)
           select id,
    ];

    private static string Environ(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/environ");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static bool IsAlive(int id)
    {
        try
        {
            return !File.ReadAllText($"/proc/{id}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }
}
