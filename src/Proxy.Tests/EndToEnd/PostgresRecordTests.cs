using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>With <c>[store] kind = "postgres"</c>, no call and no record is lost while PostgreSQL, the proxy or both are down.</summary>
public sealed class PostgresRecordTests
{
    private const string Spooling = "proxy_spool_active";

    [Fact]
    public async Task Answers_are_complete_Each_has_its_row_and_usage_is_served()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server.Url(), content: true));
        await proxy.Log.EventAsync("store_open");

        var ids = await CallAsync(proxy, 20);

        Assert.Equal(ids.Order(), await RowsAsync(server, "status = 'ok' and route = 'direct' and request is not null and answer is not null"));
        Assert.Contains("\"requests\":20", (await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage")).Text, StringComparison.Ordinal);
        Assert.Equal(0, await MetricAsync(proxy, Spooling));
        Assert.DoesNotContain(proxy.Log.Lines, line => line.GetRawText().Contains("postgres:postgres", StringComparison.Ordinal));
        Assert.Empty(proxy.Log.Strays);
    }

    [Fact]
    public async Task Database_is_killed_under_load_Every_answer_ends_well_and_has_one_row()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server.Url()));
        using var load = new Load(proxy, clients: 8);

        for (var kill = 1; kill <= 3; kill++)
        {
            await load.ReachAsync(200);
            await server.KillAsync();
            await load.ReachAsync(200);
            if (kill == 1) await IsDegradedAsync(proxy);
            await server.StartAgainAsync();
            await RecoveredAsync(proxy);
        }

        await load.ReachAsync(50);
        var ids = await load.EndAsync();
        Assert.Equal(ids.Order(), await RowsAsync(server));
        Assert.Equal([(object)(decimal)ids.Count], await server.QueryAsync("select sum(requests) from proxy.usage_daily"));
        Assert.Equal(0, await MetricAsync(proxy, "proxy_records_lost_total"));
        Assert.Equal(0, await MetricAsync(proxy, "proxy_spool_bytes"));
        Assert.False((await RawClient.SendAsync(proxy.Address, "GET", "/ready")).Json.TryGetProperty("degraded", out _));
        Assert.InRange(proxy.Log.Lines.Count(line => ProxyLog.Text(line, "event") == "spool_begin"), 3, 20);
    }

    [Fact]
    public async Task Proxy_is_killed_while_the_database_is_down_The_next_proxy_delivers_what_it_had_spooled()
    {
        await using var server = await PostgresServer.StartAsync();
        var state = Directory.CreateTempSubdirectory("proxy-state-").FullName;
        await server.KillAsync();
        List<string> ids;
        await using (var dead = await ProxyProcess.StartAsync(Config(server.Url()), state: state))
        {
            ids = await CallAsync(dead, 30);
            await dead.KillAsync();
        }

        await server.StartAgainAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server.Url()), state: state);
        await proxy.Log.EventAsync("spool_end");

        Assert.Equal(ids.Order(), await RowsAsync(server));
        Assert.Empty(Directory.GetFiles(Path.Combine(state, "spool")));
        Directory.Delete(state, recursive: true);
    }

    [Fact]
    public async Task Database_is_not_there_at_start_The_proxy_serves_and_the_check_warns()
    {
        await using var server = await PostgresServer.StartAsync();
        await server.StopAsync();
        var config = Config(server.Url());

        var check = await ProxyProcess.RunAsync(config, "check");
        Assert.Equal(0, check.ExitCode);
        Assert.Contains($"PostgreSQL at 127.0.0.1:{server.Port}/postgres cannot be reached", check.Output, StringComparison.Ordinal);
        await using var proxy = await ProxyProcess.StartAsync(config);
        var ids = await CallAsync(proxy, 10);
        await IsDegradedAsync(proxy);

        await server.StartAgainAsync();
        await RecoveredAsync(proxy);
        Assert.Equal(ids.Order(), await RowsAsync(server));
    }

    [Fact]
    public async Task Url_asks_for_TLS_with_an_authority_Records_arrive()
    {
        using var authority = new TestAuthority();
        using var certificate = authority.Issue();
        var files = new Dictionary<string, string>
        {
            ["server.crt"] = certificate.ExportCertificatePem(), ["server.key"] = certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem(),
        };
        await using var server = await PostgresServer.StartAsync(files: files, settings: "ssl=on");
        var root = Path.GetTempFileName();
        await File.WriteAllTextAsync(root, authority.Pem);
        await using var proxy = await ProxyProcess.StartAsync(Config($"{server.Url()}?sslmode=verify-full&sslrootcert={root}"));

        var ids = await CallAsync(proxy, 5);

        Assert.Equal(ids.Order(), await RowsAsync(server));
        Assert.Contains(true, await server.QueryAsync("select ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where application_name = 'proxy'"));
        File.Delete(root);
    }

    [Fact]
    public async Task Two_proxies_start_at_once_on_an_empty_database_Both_write()
    {
        await using var server = await PostgresServer.StartAsync();
        var proxies = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => ProxyProcess.StartAsync(Config(server.Url()))));

        var ids = await Task.WhenAll(proxies.Select(proxy => CallAsync(proxy, 20)));

        Assert.Equal(ids.SelectMany(static one => one).Order(), await RowsAsync(server));
        Assert.DoesNotContain(proxies, proxy => proxy.Log.Lines.Any(line => ProxyLog.Text(line, "event") is "spool_begin" or "store_failed"));
        foreach (var proxy in proxies) await proxy.DisposeAsync();
    }

    [Fact]
    [Trait("Category", "Slow")]
    public async Task More_is_spooled_than_the_memory_may_grow_No_call_fails_and_no_record_is_lost()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var proxy = await ProxyProcess.StartAsync(Config(server.Url(), content: true));
        using var load = new Load(proxy, clients: 16, bytes: 500);
        await load.ReachAsync(2000);
        var before = proxy.ResidentBytes;

        await server.KillAsync();
        long highest = 0, spooled = 0;
        for (var rounds = 0; spooled < 100 << 20 && rounds < 30; rounds++)
        {
            highest = Math.Max(highest, await load.RunForAsync(TimeSpan.FromSeconds(4), () => proxy.ResidentBytes));
            spooled = await MetricAsync(proxy, "proxy_spool_bytes");
        }

        await server.StartAgainAsync();
        await load.ReachAsync(200); // also while the spool is being delivered
        var ids = await load.EndAsync();
        await RecoveredAsync(proxy);

        TestContext.Current.SendDiagnosticMessage(
            $"{ids.Count} calls, {spooled >> 20} MiB spooled, resident {before >> 20} MiB before, {highest >> 20} MiB at most");
        Assert.Equal(ids.Order(), await RowsAsync(server));
        Assert.Equal(0, await MetricAsync(proxy, "proxy_records_lost_total"));
        Assert.InRange(highest, 0, before + (80L << 20));
        Assert.InRange(spooled, 100L << 20, long.MaxValue); // more than would fit into that
    }

    private static string Config(string url, bool content = false) => $"""
        {FrontDoor.Server("")}
        [log]
        format = "json"
        [[backends]]
        name = "echo"
        url = "builtin:echo"
        models = ["echo"]
        [store]
        kind = "postgres"
        url = "{url}"
        content = {(content ? "true" : "false")}
        """;

    private static async Task<List<string>> CallAsync(ProxyProcess proxy, int count)
    {
        using var load = new Load(proxy, clients: 4, most: count);
        await load.ReachAsync(count);
        return await load.EndAsync();
    }

    private static async Task IsDegradedAsync(ProxyProcess proxy)
    {
        Assert.Equal(1, await MetricAsync(proxy, Spooling));
        var ready = await RawClient.SendAsync(proxy.Address, "GET", "/ready");
        Assert.Equal(200, ready.Status);
        Assert.Contains("records wait on this machine's disk for PostgreSQL", ready.Json.GetProperty("degraded")[0].GetString(), StringComparison.Ordinal);
    }

    private static Task RecoveredAsync(ProxyProcess proxy) => Patience.Until(async () => await MetricAsync(proxy, Spooling) == 0, "the spool is delivered");

    private static async Task<IEnumerable<string>> RowsAsync(PostgresServer server, string condition = "true") =>
        (await server.QueryAsync($"select trace_id from proxy.exchanges where {condition}")).Cast<string>().Order();

    private static async Task<long> MetricAsync(ProxyProcess proxy, string name)
    {
        var text = (await RawClient.SendAsync(proxy.Address, "GET", "/metrics")).Text;
        return long.Parse(text.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
    }

    /// <summary>Clients that stream one chat after the other. Every answer must be complete.</summary>
    private sealed class Load : IDisposable
    {
        private readonly HttpClient http = new();
        private readonly CancellationTokenSource ended = new();
        private readonly List<string> ids = [];
        private readonly Task[] clients;
        private readonly byte[] body;
        private readonly int most;
        private int begun;

        public Load(ProxyProcess proxy, int clients, int bytes = 1, int most = int.MaxValue)
        {
            this.most = most;
            body = Encoding.UTF8.GetBytes($$"""{"model":"echo","stream":true,"messages":[{"role":"user","content":"{{new string('x', bytes)}}"}]}""");
            this.clients = [.. Enumerable.Range(0, clients).Select(_ => Task.Run(() => RunAsync(new(proxy.Address, "/v1/chat/completions"))))];
        }

        private int Count
        {
            get
            {
                lock (ids) return ids.Count;
            }
        }

        /// <summary>Waits until so many more answers have ended.</summary>
        public async Task ReachAsync(int more)
        {
            var goal = Math.Min(Count + more, most);
            await Patience.Until(
                () => clients.FirstOrDefault(static client => client.IsFaulted) is { } failed
                    ? Task.FromException<bool>(failed.Exception!) : Task.FromResult(Count >= goal),
                $"{more} calls have ended");
        }

        /// <returns>The highest of the values measured meanwhile.</returns>
        public async Task<long> RunForAsync(TimeSpan time, Func<long> measure)
        {
            var highest = measure();
            using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
            for (var since = TimeProvider.System.GetTimestamp(); TimeProvider.System.GetElapsedTime(since) < time; await pace.WaitForNextTickAsync())
                highest = Math.Max(highest, measure());
            await ReachAsync(0);
            return highest;
        }

        /// <returns>The trace ids of all answers.</returns>
        public async Task<List<string>> EndAsync()
        {
            await ended.CancelAsync();
            await Patience.For(Task.WhenAll(clients), "the last calls' ends");
            return ids;
        }

        public void Dispose()
        {
            ended.Cancel();
            http.Dispose();
            ended.Dispose();
        }

        private async Task RunAsync(Uri address)
        {
            while (!ended.IsCancellationRequested && Interlocked.Increment(ref begun) <= most)
            {
                using var content = new ByteArrayContent(body) { Headers = { ContentType = new("application/json") } };
                using var reply = await http.PostAsync(address, content);
                var text = await reply.Content.ReadAsStringAsync();
                Assert.Equal(200, (int)reply.StatusCode);
                Assert.EndsWith(OpenAi.Done, text, StringComparison.Ordinal);
                lock (ids) ids.Add(reply.Headers.GetValues("x-trace-id").Single());
            }
        }
    }
}
