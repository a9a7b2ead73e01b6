using System.Globalization;
using System.Net;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The package's units under a real systemd.</summary>
[Trait("Category", "System")]
public sealed class SystemdTests(SystemdBox box) : IClassFixture<SystemdBox>, IAsyncLifetime
{
    const string Config = "/etc/proxy/config.toml";

    /// <summary>Every test begins with a stopped service, as after the package's installation.</summary>
    public async ValueTask InitializeAsync()
    {
        await box.StartAsync();
        await box.TryAsync("systemctl", "stop", "proxy.socket", "proxy.service");
        await box.TryAsync("systemctl", "reset-failed", "proxy.socket", "proxy.service");
        await box.RunAsync("cp", "/root/config.toml", Config);
        await box.RunAsync("rm", "-rf", "/run/systemd/system/proxy.service.d");
        await box.RunAsync("systemctl", "daemon-reload");
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    [Fact]
    public async Task Start_has_returned_The_service_answers_as_a_user_without_rights()
    {
        await box.RunAsync("systemctl", "start", "proxy");

        using var client = box.Network.Client(SystemdBox.Address);
        using var health = await client.GetAsync("/health", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        var process = await box.ShowAsync("proxy", "MainPID");
        Assert.InRange(int.Parse(await box.ShowAsync("proxy", "UID"), null), 61184, 65519); // a user that systemd made for this run
        Assert.Contains("CapEff:\t0000000000000000", await box.RunAsync("cat", $"/proc/{process}/status"), StringComparison.Ordinal);
        Assert.Equal("active", await box.ShowAsync("proxy", "ActiveState"));
    }

    [Fact]
    public async Task Doctor_Sees_the_service_as_it_runs_and_without_it_what_it_would_find()
    {
        await box.RunAsync("sh", "-c", $"printf '[store]\\nkind = \"sqlite\"\\n' >>{Config}");
        await box.RunAsync("systemctl", "start", "proxy");
        var process = await box.ShowAsync("proxy", "MainPID");

        var limits = await box.RunAsync("cat", $"/proc/{process}/limits"); // what the unit asks for, or this machine's own limit if that is lower
        var files = long.Parse(limits.Split('\n').Single(static line => line.StartsWith("Max open files", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)[4], CultureInfo.InvariantCulture);
        var running = await box.RunAsync("proxy", "doctor");
        await box.RunAsync("systemctl", "stop", "proxy");
        var stopped = await box.RunAsync("proxy", "doctor");

        Assert.Contains($"ok    proxy      runs as process {process}\n", running, StringComparison.Ordinal);
        Assert.Contains("answers and is ready\n", running, StringComparison.Ordinal);
        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"files      the running proxy may have {files:N0} files open\n"), running,
            StringComparison.Ordinal);
        Assert.Contains("ok    proxy      is not running\n", stopped, StringComparison.Ordinal);
        foreach (var told in (string[])[running, stopped])
        {
            Assert.Contains($"ok    config     {Config}: 1 backend", told, StringComparison.Ordinal);
            Assert.Contains("ok    records    /var/lib/proxy/proxy.db: can be written", told, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task First_connection_Starts_the_service_on_the_socket_that_systemd_holds()
    {
        await box.RunAsync("systemctl", "start", "proxy.socket");
        Assert.Equal("inactive", await box.ShowAsync("proxy.service", "ActiveState"));

        using var client = box.Network.Client(SystemdBox.Address);
        using var health = await client.GetAsync("/health", TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
        // The answer may arrive before systemd has read that the service is ready.
        await Patience.Until(async () => await box.ShowAsync("proxy.service", "ActiveState") == "active", "the service is active");
    }

    [Fact]
    public async Task Restart_behind_the_socket_No_connection_is_refused()
    {
        await box.RunAsync("systemctl", "start", "proxy.socket");
        using var stop = new CancellationTokenSource();
        var answers = AskAsync(stop.Token);

        for (var round = 0; round < 3; round++) await box.RunAsync("systemctl", "restart", "proxy.service");
        await stop.CancelAsync();

        var statuses = await answers;
        Assert.NotEmpty(statuses);
        Assert.All(statuses, status => Assert.Equal(HttpStatusCode.OK, status));

        // Each request on a new connection, because one that the stopped service still holds would not test the socket.
        async Task<List<HttpStatusCode>> AskAsync(CancellationToken enough)
        {
            var seen = new List<HttpStatusCode>();
            while (!enough.IsCancellationRequested)
            {
                using var client = box.Network.Client(SystemdBox.Address);
                client.DefaultRequestHeaders.ConnectionClose = true;
                using var health = await client.GetAsync("/health", TestContext.Current.CancellationToken);
                seen.Add(health.StatusCode);
            }

            return seen;
        }
    }

    [Fact]
    public async Task Stop_under_twenty_live_streams_All_end_whole()
    {
        using var socket = await box.Network.ListenAsync();
        await using var host = await TokenHost.StartAsync(socket);
        await ConfigureAsync(host);
        await box.RunAsync("systemctl", "start", "proxy");
        using var client = box.Network.Client(SystemdBox.Address);
        var chats = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => StreamedChat.BeginAsync(client, "slow")));

        var stop = box.RunAsync("systemctl", "stop", "proxy");
        await Patience.Until(async () => await box.ShowAsync("proxy", "ActiveState") == "deactivating", "the service is stopping");
        using var late = box.Network.Client(SystemdBox.Address);
        await Patience.Until(async () => await RefusedAsync(late), "no new connection is taken");
        Assert.False(stop.IsCompleted);
        host.Release(); // released only now, so every stream was running when the stop came
        var streams = await Patience.For(Task.WhenAll(chats.Select(chat => chat.EndAsync())), "the streams' ends");
        await Patience.For(stop, "the stop");

        Assert.All(streams, stream => Assert.Equal(TokenHost.Stream("slow"), stream));
        Assert.Equal("inactive", await box.ShowAsync("proxy", "ActiveState"));
        Assert.Equal("success", await box.ShowAsync("proxy", "Result"));
        Assert.Equal("0", await box.ShowAsync("proxy", "ExecMainStatus"));
        foreach (var chat in chats) chat.Dispose();
    }

    [Fact]
    public async Task Reload_Takes_a_good_file_and_fails_on_a_bad_one_that_changes_nothing()
    {
        using var socket = await box.Network.ListenAsync();
        await using var host = await TokenHost.StartAsync(socket);
        host.Release();
        await box.RunAsync("systemctl", "start", "proxy");
        await ConfigureAsync(host);
        using var client = box.Network.Client(SystemdBox.Address);

        await box.RunAsync("systemctl", "reload", "proxy");
        using var chat = await StreamedChat.BeginAsync(client, "slow");
        Assert.Equal(TokenHost.Stream("slow"), await chat.EndAsync());

        await File.WriteAllTextAsync(box.Inside(Config), "nonsense = ", TestContext.Current.CancellationToken);
        Assert.NotEqual(0, (await box.TryAsync("systemctl", "reload", "proxy")).ExitCode);
        var problems = await box.RunAsync("journalctl", "--unit", "proxy", "--priority", "err", "--output", "cat", "--no-pager");
        Assert.Contains("reload_refused", problems, StringComparison.Ordinal); // each line has its priority, which the journal takes from its beginning
        Assert.DoesNotContain("<3>", problems, StringComparison.Ordinal);
        using var after = await StreamedChat.BeginAsync(client, "slow");
        Assert.Equal(TokenHost.Stream("slow"), await after.EndAsync());
    }

    [Fact]
    public async Task Service_hangs_The_watchdog_replaces_it()
    {
        await WithWatchdogAsync();
        await box.RunAsync("systemctl", "start", "proxy");
        var process = await box.ShowAsync("proxy", "MainPID");
        var sign = await box.ShowAsync("proxy", "WatchdogTimestampMonotonic");
        await Patience.Until(async () => await box.ShowAsync("proxy", "WatchdogTimestampMonotonic") != sign, "the service gives a sign of life");

        await box.RunAsync("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "proxy");

        await Patience.Until(
            async () => await box.ShowAsync("proxy", "NRestarts") == "1" && await box.ShowAsync("proxy", "ActiveState") == "active", "the service is replaced");
        Assert.NotEqual(process, await box.ShowAsync("proxy", "MainPID"));
    }

    [Fact]
    public async Task Configuration_is_wrong_The_service_fails_once_and_says_why()
    {
        await File.WriteAllTextAsync(box.Inside(Config), "[server]\nlisten = [\"127.0.0.1:11435\"]\nlissten = 1\n", TestContext.Current.CancellationToken);

        Assert.NotEqual(0, (await box.TryAsync("systemctl", "start", "proxy")).ExitCode);

        Assert.Equal("failed", await box.ShowAsync("proxy", "ActiveState"));
        Assert.Equal("0", await box.ShowAsync("proxy", "NRestarts"));
        Assert.Contains("lissten", await box.RunAsync("journalctl", "--unit", "proxy", "--no-pager"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Handoff_on_systemds_socket_The_new_process_is_the_service_and_the_stream_goes_on()
    {
        using var socket = await box.Network.ListenAsync();
        await using var host = await TokenHost.StartAsync(socket);
        await ConfigureAsync(host);
        await WithWatchdogAsync();
        await box.RunAsync("systemctl", "start", "proxy.socket");
        using var client = box.Network.Client(SystemdBox.Address);
        using var chat = await StreamedChat.BeginAsync(client, "slow"); // starts the service
        await Patience.Until(async () => await box.ShowAsync("proxy.service", "ActiveState") == "active", "the service is active");
        var (process, invocation) = (await box.ShowAsync("proxy", "MainPID"), await box.ShowAsync("proxy", "InvocationID"));

        var said = await box.RunAsync("proxy", "handoff");

        var next = await box.ShowAsync("proxy", "MainPID");
        Assert.NotEqual(process, next);
        Assert.Contains($"process {next} serves now; the old one finishes 1 call", said, StringComparison.Ordinal);
        Assert.Contains("PPid:\t1\n", await box.RunAsync("cat", $"/proc/{next}/status"), StringComparison.Ordinal); // systemd notices its end
        await box.RunAsync("systemctl", "reload", "proxy");
        var sign = await box.ShowAsync("proxy", "WatchdogTimestampMonotonic");
        await Patience.Until(async () => await box.ShowAsync("proxy", "WatchdogTimestampMonotonic") != sign, "the new process gives a sign of life");
        Assert.NotEqual(0, (await box.TryAsync("proxy", "handoff", "--binary", "/bin/false")).ExitCode);
        host.Release();
        Assert.Equal(TokenHost.Stream("slow"), await chat.EndAsync());
        await Patience.Until(async () => !await RunsAsync(process), "the old process has ended");
        Assert.Equal((next, invocation, "0"),
            (await box.ShowAsync("proxy", "MainPID"), await box.ShowAsync("proxy", "InvocationID"), await box.ShowAsync("proxy", "NRestarts")));
        using var again = await StreamedChat.BeginAsync(client, "slow");
        Assert.Equal(TokenHost.Stream("slow"), await again.EndAsync());

        await box.RunAsync("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "proxy"); // as in a crash
        await Patience.Until(async () => await box.ShowAsync("proxy", "NRestarts") == "1" && await box.ShowAsync("proxy", "ActiveState") == "active",
            "systemd has started the service anew");
    }

    [Fact]
    public async Task Package_is_upgraded_and_removed_The_stream_goes_on_until_the_service_stops_and_is_gone()
    {
        using var socket = await box.Network.ListenAsync();
        await using var host = await TokenHost.StartAsync(socket);
        await ConfigureAsync(host, "drain = \"1s\"");
        await box.RunAsync("systemctl", "enable", "--now", "proxy");
        var (process, invocation) = (await box.ShowAsync("proxy", "MainPID"), await box.ShowAsync("proxy", "InvocationID"));
        using var client = box.Network.Client(SystemdBox.Address);
        using var chat = await StreamedChat.BeginAsync(client, "slow");
        await File.AppendAllTextAsync(box.Inside(Config), "# edited\n", TestContext.Current.CancellationToken);

        await box.RunAsync("dpkg", "--install", SystemdBox.Package);

        Assert.Equal("active", await box.ShowAsync("proxy", "ActiveState"));
        var next = await box.ShowAsync("proxy", "MainPID");
        Assert.NotEqual(process, next);
        Assert.Equal(invocation, await box.ShowAsync("proxy", "InvocationID")); // it was not restarted
        Assert.True(await RunsAsync(process), "the old process was ended");
        Assert.EndsWith("# edited", await box.RunAsync("cat", Config), StringComparison.Ordinal);

        await box.RunAsync("systemctl", "stop", "proxy");
        Assert.Contains("shutting down", await chat.EndAsync(), StringComparison.Ordinal);
        foreach (var ended in (string[])[process, next]) Assert.False(await RunsAsync(ended), $"process {ended} runs on");
        Assert.Equal("success", await box.ShowAsync("proxy", "Result"));
        try
        {
            await box.RunAsync("dpkg", "--remove", "proxy");

            Assert.Equal("not-found", await box.ShowAsync("proxy", "LoadState"));
            Assert.Equal("0", await box.ShowAsync("proxy", "MainPID"));
        }
        finally
        {
            await box.RunAsync("dpkg", "--install", SystemdBox.Package);
        }
    }

    async Task<bool> RunsAsync(string process) => (await box.TryAsync("test", "-d", $"/proc/{process}")).ExitCode == 0;

    async Task ConfigureAsync(TokenHost host, string server = "") => await File.WriteAllTextAsync(box.Inside(Config), $"""
        [server]
        listen = ["127.0.0.1:11435"]
        {server}
        [[backends]]
        name = "slow"
        url = "{host.Url}"
        dialects = ["openai"]
        models = ["slow"]
        """);

    async Task WithWatchdogAsync()
    {
        Directory.CreateDirectory(box.Inside("/run/systemd/system/proxy.service.d"));
        await File.WriteAllTextAsync(box.Inside("/run/systemd/system/proxy.service.d/test.conf"), "[Service]\nWatchdogSec=2\n");
        await box.RunAsync("systemctl", "daemon-reload");
    }

    static async Task<bool> RefusedAsync(HttpClient client)
    {
        try
        {
            using var health = await client.GetAsync("/health");
            client.CancelPendingRequests();
            return false;
        }
        catch (HttpRequestException)
        {
            return true;
        }
    }
}
