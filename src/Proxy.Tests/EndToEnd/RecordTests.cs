using System.Globalization;
using System.Text;
using Proxy.Store.Sqlite;
using Proxy.Tests.Harness;
using Proxy.Tests.Store;

namespace Proxy.Tests.EndToEnd;

/// <summary>With <c>[store] kind = "sqlite"</c>, every finished generation is one row, and a complete answer does not end before its row is durable.</summary>
public sealed class RecordTests(RecordTests.Door door) : IClassFixture<RecordTests.Door>
{
    /// <summary>By client: its path and its body.</summary>
    private static readonly Dictionary<string, (string Path, string Body)> Clients = new(StringComparer.Ordinal)
    {
        ["openai"] = ("/v1/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
        ["responses"] = ("/v1/responses", """{"model":"MODEL","input":"x","stream":STREAM}"""),
        ["ollama"] = ("/api/chat", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
        ["anthropic"] = ("/v1/messages", """{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":STREAM}"""),
    };

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 4;

        protected override string Sections()
        {
            var sections = new StringBuilder("[store]\nkind = \"sqlite\"\n[aliases]\nnick = \"openai-m\"\n");
            foreach (var family in Clients.Keys)
            {
                var host = Host();
                host.Answer(TranscriptHost.AnswerAsync);
                sections.AppendLine($"""
                    [[backends]]
                    name = "{family}"
                    url = "{host.Url}"
                    dialects = ["{family}"]
                    models = ["{family}-m"]
                    """);
            }

            sections.AppendLine("""
                [[pipelines]]
                name = "judged"
                launcher = "process"
                command = ["/bin/sh", "-c", "echo '{\"type\":\"token\",\"text\":\"a\",\"task\":\"A\"}'; echo '{\"type\":\"finished\",\"winner\":\"A\"}'"]
                """);
            return sections.ToString();
        }
    }

    public static TheoryData<string, string, bool> Cells()
    {
        var cells = new TheoryData<string, string, bool>();
        foreach (var client in Clients.Keys)
            foreach (var host in (string[])[client, client is "openai" ? "anthropic" : "openai"])
                foreach (var stream in (bool[])[true, false]) cells.Add(client, host, stream);
        return cells;
    }

    [Theory]
    [MemberData(nameof(Cells))]
    public async Task Answer_is_complete_Its_row_is_there(string client, string host, bool stream)
    {
        var (reply, line) = await CallAsync(client, $"{host}-m", stream);

        Assert.Equal(200, reply.Status);
        Assert.Equal(
            [
                line["correlation_id"], "session-1", "anonymous", Clients[client].Path, $"{host}-m", "direct", $"{host}-m", host, "ok", line["tokens_in"],
                line["tokens_out"], null, null,
            ],
            Row(reply.TraceId, "correlation_id, session, owner, surface, model, route, winner, backend, status, input_tokens, output_tokens, request, answer"));
        var times = Row(reply.TraceId, "started_at, first_token_ms, duration_ms").Select(text => double.Parse(text!, CultureInfo.InvariantCulture)).ToArray();
        var now = TimeProvider.System.GetUtcNow();
        Assert.InRange(DateTimeOffset.FromUnixTimeMilliseconds((long)times[0]), now.AddMinutes(-1), now);
        Assert.InRange(times[1], 0, times[2]);
        Assert.InRange(times[2], 0, 60_000);
    }

    [Fact]
    public async Task Model_is_an_alias_The_row_has_both_names()
    {
        var (reply, _) = await CallAsync("openai", "nick", true);

        Assert.Equal(["nick", "openai-m"], Row(reply.TraceId, "model, winner"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task File_is_locked_The_end_waits_for_the_row(bool stream)
    {
        await using var client = await RawClient.ConnectAsync(door.Address);
        using var other = new SqliteConnection(door.Proxy.StoreFile);
        other.Execute("begin immediate");
        await client.RequestAsync("POST", "/v1/chat/completions", Body("openai", "openai-m", stream));

        if (stream) await client.ReadHeadAsync();
        var ending = stream ? client.ReadUntilAsync("[DONE]") : client.ReadHeadAsync();
        // Long enough for bytes that were sent already.
        Assert.NotSame(ending, await Task.WhenAny(ending, Task.Delay(200, TestContext.Current.CancellationToken)));
        other.Execute("rollback");
        await ending;

        Assert.Equal(["ok"], Row((await client.ReadRestAsync()).TraceId, "status"));
    }

    [Fact]
    public async Task Pipeline_answers_The_row_has_its_name_and_the_winner()
    {
        var (reply, _) = await CallAsync("openai", "pipeline/judged", true);

        Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
        Assert.Equal(["workflow", "judged", "A", "ok"], Row(reply.TraceId, "route, pipeline, winner, status"));
    }

    [Fact]
    public async Task Calls_end_at_once_They_share_a_transaction()
    {
        using var other = new SqliteConnection(door.Proxy.StoreFile);
        for (var waited = false; !waited;) // on a slow machine the calls may come so late that SQLite has given up the first of them
        {
            var before = await CommitsAsync();
            other.Execute("begin immediate");
            var calls = Enumerable.Range(0, 50).Select(_ => CallAsync("openai", "openai-m", true)).ToArray();
            var all = Task.WhenAll(calls);
            // The first rows are with SQLite, which waits for the lock; the others wait for it.
            while (!waited && !all.IsCompleted) waited = await MetricAsync("proxy_store_waiting") >= 20;
            other.Execute("rollback");
            var ended = await all;
            if (!waited) continue;
            foreach (var (reply, _) in ended) Assert.Equal(["ok"], Row(reply.TraceId, "status"));
            Assert.InRange(await CommitsAsync() - before, 1, 31); // 20 of them share one
        }

        Task<long> CommitsAsync() => MetricAsync("proxy_store_commits_total");
    }

    [Fact]
    public async Task File_stays_locked_The_answer_ends_well_and_the_record_is_counted_as_lost()
    {
        await using var proxy = await ProxyProcess.StartAsync(Config("openai"));
        await Patience.Until(() => Task.FromResult(File.Exists(proxy.StoreFile)), "the store is opened");
        await proxy.Log.EventAsync("store_open");
        using var other = new SqliteConnection(proxy.StoreFile);
        other.Execute("begin immediate");

        var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true)); // waits as long as SQLite does

        Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
        Assert.Contains("locked", ProxyLog.Text(await proxy.Log.EventAsync("store_failed"), "reason"), StringComparison.Ordinal);
        Assert.Equal(1, await MetricAsync("proxy_records_lost_total", proxy));
        Assert.Equal(0, await MetricAsync("proxy_store_up", proxy));
        var ready = await RawClient.SendAsync(proxy.Address, "GET", "/ready");
        Assert.Equal((200, "ready"), (ready.Status, ready.Json.GetProperty("status").GetString()));
        Assert.Contains("calls are served without a record", ready.Json.GetProperty("degraded")[0].GetString(), StringComparison.Ordinal);

        other.Execute("rollback");
        await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true));
        await proxy.Log.EventAsync("store_works_again");
        Assert.False((await RawClient.SendAsync(proxy.Address, "GET", "/ready")).Json.TryGetProperty("degraded", out _));
        Assert.Equal(1, SqliteFile.Count(proxy.StoreFile, "exchanges"));
    }

    [Fact]
    public async Task Client_leaves_The_row_says_so()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        string trace;
        await using (var client = await RawClient.ConnectAsync(door.Address))
        {
            await client.RequestAsync("POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(OpenAi.Request(lane.Solo, stream: true)));
            await client.ReadHeadAsync();
            await client.ReadUntilAsync("half");
            trace = client.Headers.First(header => header.Name.Equals("x-trace-id", StringComparison.OrdinalIgnoreCase)).Value;
        }

        await Recorded(trace);
        Assert.Equal(["client_left", lane.NameA, null], Row(trace, "status, backend, output_tokens"));
    }

    [Fact]
    public async Task Host_breaks_off_The_row_says_so()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            exchange.Reset();
        });

        var (reply, _) = await door.ChatAsync(lane.Solo, stream: true);

        await Recorded(reply.TraceId);
        Assert.Equal(["failed"], Row(reply.TraceId, "status"));
    }

    [Fact]
    public async Task Call_is_refused_There_is_no_row()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("no", "invalid_request_error"), 400));

        var (refused, _) = await door.ChatAsync(lane.Solo, stream: true);
        var (unknown, _) = await door.ChatAsync("nobody-has-it", stream: false);
        var (later, _) = await CallAsync("openai", "openai-m", true);

        Assert.Equal((400, 404, 200), (refused.Status, unknown.Status, later.Status));
        Assert.Equal(0, SqliteFile.Count(door.Proxy.StoreFile, $"exchanges where trace_id in ('{refused.TraceId}', '{unknown.TraceId}')"));
    }

    [Fact]
    public async Task File_Belongs_to_its_user_alone()
    {
        await CallAsync("openai", "openai-m", true);

        foreach (var file in (string[])["", "-wal", "-shm"])
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(door.Proxy.StoreFile + file));
    }

    [Fact]
    public async Task Proxy_is_killed_while_calls_end_No_row_of_a_complete_answer_is_lost()
    {
        await using var host = FakeBackend.Start();
        host.Answer(TranscriptHost.AnswerAsync);
        await using var proxy = await ProxyProcess.StartAsync(Config("openai", host));
        var complete = new System.Collections.Concurrent.ConcurrentBag<string>();
        using var stop = new CancellationTokenSource();

        var clients = Enumerable.Range(0, 8).Select(number => CallUntilItEndsAsync(number % 2 == 0)).ToArray();
        await Patience.Until(() => Task.FromResult(complete.Count > 100), "a hundred calls have ended");
        await proxy.KillAsync();
        await Task.WhenAll(clients);

        using var connection = new SqliteConnection(proxy.StoreFile);
        foreach (var trace in complete)
        {
            var found = connection.Prepare("select status from exchanges where trace_id = ?").Bind(trace);
            Assert.True(found.Step(), trace);
            Assert.Equal("ok", found.Text(0));
            found.Reset();
        }

        Assert.InRange(connection.Integer("select count(*) from exchanges"), complete.Count, complete.Count + clients.Length);
        Assert.Equal(connection.Integer("select count(*) from exchanges"), connection.Integer("select sum(requests) from usage_daily"));

        async Task CallUntilItEndsAsync(bool stream)
        {
            try
            {
                while (true)
                {
                    var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", stream));
                    if (stream ? reply.Text.EndsWith(OpenAi.Done, StringComparison.Ordinal) : reply.Text.EndsWith('}')) complete.Add(reply.TraceId);
                }
            }
            catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or InvalidOperationException)
            {
                // The proxy is dead.
            }
        }
    }

    [Fact]
    public async Task Proxy_stops_while_a_call_runs_The_row_says_incomplete()
    {
        await using var host = FakeBackend.Start();
        host.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.StallAsync();
        });
        await using var proxy = await ProxyProcess.StartAsync(Config("openai", host, "drain = \"200ms\""));
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Body("openai", "openai-m", true));
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("half");

        proxy.Signal(System.Runtime.InteropServices.PosixSignal.SIGTERM);
        await client.ReadToEndAsync();
        Assert.Equal(0, await proxy.ExitAsync());

        Assert.Equal(["1", "incomplete"], SqliteFile.Query(proxy.StoreFile, "select count(*), status from exchanges"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Content_is_kept_The_row_has_the_request_and_the_hosts_answer(bool stream)
    {
        await using var host = FakeBackend.Start();
        host.Answer(TranscriptHost.AnswerAsync);
        await using var proxy = await ProxyProcess.StartAsync(Config("openai", host) + "content = true\n");
        var body = Body("openai", "openai-m", stream);

        await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", body);

        var kept = SqliteFile.Query(proxy.StoreFile, "select request, answer from exchanges");
        Assert.Equal(Encoding.UTF8.GetString(body), kept[0]);
        Assert.Equal((await File.ReadAllTextAsync(Path.Combine(Dialects.Wire.Transcripts, "plain", stream ? "openai.sse" : "openai.whole.json"))).Trim(),
            kept[1]!.Trim());
    }

    [Fact]
    public async Task File_is_damaged_Calls_are_served_and_check_log_and_metrics_say_so_until_it_is_moved_away()
    {
        var state = Directory.CreateTempSubdirectory("proxy-state-").FullName;
        try
        {
            var file = Path.Combine(state, "proxy.db");
            await File.WriteAllTextAsync(file, new string('x', 8192));
            await using var host = FakeBackend.Start();
            host.Answer(TranscriptHost.AnswerAsync);
            await using var proxy = await ProxyProcess.StartAsync(Config("openai", host), state: state);

            Assert.Contains("damaged", ProxyLog.Text(await proxy.Log.EventAsync("store_failed"), "reason"), StringComparison.Ordinal);
            var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true));
            Assert.EndsWith(OpenAi.Done, reply.Text, StringComparison.Ordinal);
            Assert.Equal(1, await MetricAsync("proxy_records_lost_total", proxy));
            var usage = await RawClient.SendAsync(proxy.Address, "GET", "/v1/usage");
            Assert.Equal((503, "store_failed"), (usage.Status, usage.ErrorCode));
            Assert.DoesNotContain(state, usage.Text, StringComparison.Ordinal);
            Assert.Equal(1, (await proxy.CommandAsync("usage")).ExitCode);
            var (code, said) = await proxy.CommandAsync("check");
            Assert.Equal(0, code);
            Assert.Contains($"warning     [store] {file}: the file is damaged", said, StringComparison.Ordinal);

            File.Delete(file);
            await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true));
            Assert.Equal(1, SqliteFile.Count(file, "exchanges"));
            Assert.DoesNotContain("warning", (await proxy.CommandAsync("check")).Output, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }
    }

    [Fact]
    public async Task File_is_deleted_while_the_proxy_runs_The_next_row_is_in_a_new_one()
    {
        await using var host = FakeBackend.Start();
        host.Answer(TranscriptHost.AnswerAsync);
        await using var proxy = await ProxyProcess.StartAsync(Config("openai", host));
        await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true));
        foreach (var file in (string[])["", "-wal", "-shm"]) File.Delete(proxy.StoreFile + file);

        await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Body("openai", "openai-m", true));

        Assert.Equal(1, SqliteFile.Count(proxy.StoreFile, "exchanges"));
    }

    private static string Config(string family, FakeBackend? host = null, string server = "") => $"""
        {FrontDoor.Server(server)}
        [log]
        format = "json"
        [[backends]]
        name = "{family}"
        url = "{host?.Url ?? "builtin:echo"}"
        {(host is null ? "" : $"dialects = [\"{family}\"]")}
        models = ["{family}-m"]
        [store]
        kind = "sqlite"

        """;

    private static byte[] Body(string client, string model, bool stream) => Encoding.UTF8.GetBytes(Clients[client].Body
        .Replace("MODEL", model, StringComparison.Ordinal).Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal));

    private Task<(RawReply Reply, CallLine Line)> CallAsync(string client, string model, bool stream) => door.CallAsync(
        Clients[client].Path, Encoding.UTF8.GetString(Body(client, model, stream)), "x-session-id: session-1", "anthropic-version: 2023-06-01");

    private IReadOnlyList<string?> Row(string traceId, string columns) =>
        SqliteFile.Query(door.Proxy.StoreFile, $"select {columns} from exchanges where trace_id = '{traceId}'");

    private Task Recorded(string traceId) => Patience.Until(
        () => Task.FromResult(SqliteFile.Count(door.Proxy.StoreFile, $"exchanges where trace_id = '{traceId}'") == 1), "the row is there");

    private Task<long> MetricAsync(string name) => MetricAsync(name, door.Proxy);

    private static async Task<long> MetricAsync(string name, ProxyProcess proxy)
    {
        var text = (await RawClient.SendAsync(proxy.Address, "GET", "/metrics")).Text;
        return long.Parse(text.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
    }
}
