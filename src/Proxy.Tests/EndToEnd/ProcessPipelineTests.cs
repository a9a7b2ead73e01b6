using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Proxy.Tests.Harness;
using Proxy.Tests.Store;

namespace Proxy.Tests.EndToEnd;

/// <summary>Programs answer chats like models, in every dialect: what they say, their tools, their errors, and the ends that clients bring about.</summary>
public sealed class ProcessPipelineTests(ProcessPipelineTests.House house) : IClassFixture<ProcessPipelineTests.House>
{
    private const string Program = """
        #!/bin/sh
        cd "$(dirname "$0")" || exit
        document=$(cat)
        say() { printf '%s\n' "$@"; }
        case $1 in
        talk)
            echo run >> runs-talk
            say '{"type":"token","text":"Hel"}' '{"type":"token","kind":"reasoning","text":"hm"}' '{"type":"token","text":"lo, wörld"}'
            say '{"type":"usage","input_tokens":3,"output_tokens":2}' '{"type":"finished","reason":"stop"}';;
        cached) echo run >> runs-cached; say '{"type":"token","text":"once"}' '{"type":"finished"}';;
        tools)
            say '{"type":"tool_call","index":0,"id":"toolu_1","name":"weather","arguments":"{\"city\":"}'
            say '{"type":"tool_call","index":0,"arguments":"\"Rome\"}"}' '{"type":"finished","reason":"tool_calls"}';;
        early) echo 'the model file is missing' >&2; exit 3;;
        late) say '{"type":"token","text":"half"}'; sleep 0.5; echo 'out of memory' >&2; exit 4;;
        garbage) say 'loading…' '{"type":' '[]' '{"type":"token","text":"clean"}' '{"type":"news"}'; exit 0;;
        quiet) say '{"type":"token","text":"all"}'; exit 0;;
        long) head -c 2000000 /dev/zero | tr '\0' 'x'; sleep 1000;;
        hang) sleep 1000;;
        slow) echo $$ > "pid-$2"; say '{"type":"token","text":"working"}'; sleep 1000 & wait;;
        artifact)
            say '{"type":"artifact","key":"report","media_type":"text/markdown","uri":"file:///srv/report.md"}'
            say '{"type":"artifact","key":"score","value":{"points":7}}' '{"type":"artifact","key":"score","value":{"points":8}}'
            say '{"type":"token","text":"kept"}' '{"type":"finished"}';;
        document) say "$document" > document; say '{"type":"token","text":"read"}' '{"type":"finished"}';;
        esac
        """;

    private static readonly string[] Names = ["talk", "tools", "early", "late", "garbage", "quiet", "long", "artifact", "document", "cached"];

    /// <summary>By client: its path, its body, and its tools.</summary>
    private static readonly Dictionary<string, (string Path, string Body, string Tools)> Clients = new(StringComparer.Ordinal)
    {
        ["openai"] = ("/v1/chat/completions", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM MORE}""",
            ""","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]"""),
        ["completions"] = ("/v1/completions", """{"model":"MODEL","prompt":"x","stream":STREAM MORE}""", ""),
        ["responses"] = ("/v1/responses", """{"model":"MODEL","input":"x","stream":STREAM MORE}""",
            ""","tools":[{"type":"function","name":"weather","parameters":{"type":"object"}}]"""),
        ["ollama"] = ("/api/chat", """{"model":"MODEL","messages":[{"role":"user","content":"x"}],"stream":STREAM MORE}""",
            ""","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]"""),
        ["generate"] = ("/api/generate", """{"model":"MODEL","prompt":"x","stream":STREAM MORE}""", ""),
        ["anthropic"] = ("/v1/messages", """{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":STREAM MORE}""",
            ""","tools":[{"name":"weather","input_schema":{"type":"object"}}]"""),
    };

    public static TheoryData<string, bool> Forms
    {
        get
        {
            var forms = new TheoryData<string, bool>();
            foreach (var client in Clients.Keys)
            {
                forms.Add(client, true);
                forms.Add(client, false);
            }

            return forms;
        }
    }

    public sealed class House : IAsyncLifetime
    {
        private readonly string folder = Directory.CreateTempSubdirectory("proxy-pipeline-").FullName;
        private ProxyProcess? proxy;

        internal ProxyProcess Proxy => proxy!;

        internal string In(string name) => Path.Combine(folder, name);

        public async ValueTask InitializeAsync()
        {
            var program = In("job");
            await File.WriteAllTextAsync(program, Program);
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserExecute);
            var pipelines = string.Concat(Names.Select(name => Pipeline(name, program, name)));
            foreach (var place in (string[])["leave", "delete", "stop"]) pipelines += Pipeline("slow-" + place, program, "slow", place);
            proxy = await ProxyProcess.StartAsync($"""
                {FrontDoor.Server()}
                [log]
                format = "json"
                [inference]
                bundled = false
                [store]
                kind = "sqlite"
                [cache]
                shared = true
                {pipelines}
                {Pipeline("missing", "/no/such/program")}
                {Pipeline("hang", program, "hang")}idle = "1s"
                """);
        }

        public async ValueTask DisposeAsync()
        {
            if (proxy is not null) await proxy.DisposeAsync();
            Directory.Delete(folder, recursive: true);
        }

        internal static string Pipeline(string name, params string[] command) =>
            $"[[pipelines]]\nname = \"{name}\"\nlauncher = \"process\"\ncommand = [{string.Join(", ", command.Select(static word => $"\"{word}\""))}]\n";
    }

    [Theory, MemberData(nameof(Forms))]
    public async Task Program_answers_In_every_dialect_as_a_model_would(string client, bool stream)
    {
        var answer = MatrixAnswer.Of(client, stream, await AskAsync(client, stream, "talk"));

        Assert.Equal(("Hello, wörld", "stop"), (answer.Text, answer.Reason));
        if (client is not ("completions" or "anthropic")) Assert.Equal("hm", answer.Reasoning);
    }

    [Theory, MemberData(nameof(Forms))]
    public async Task Program_calls_the_clients_tool_In_every_dialect_that_has_tools(string client, bool stream)
    {
        if (Clients[client].Tools.Length == 0) return;

        var answer = MatrixAnswer.Of(client, stream, await AskAsync(client, stream, "tools", Clients[client].Tools));

        Assert.Equal("tool_calls", answer.Reason);
        Assert.EndsWith("weather {\"city\":\"Rome\"}", answer.Calls, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Forms))]
    public async Task Program_fails_before_its_first_event_The_status_says_it_with_its_last_words(string client, bool stream)
    {
        var reply = await AskAsync(client, stream, "early");

        Assert.Equal(502, reply.Status);
        Assert.Contains("exit code 3: the model file is missing", reply.Text, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Forms))]
    public async Task Program_fails_after_its_first_event_The_answer_ends_in_its_dialects_error(string client, bool stream)
    {
        var reply = await AskAsync(client, stream, "late");

        Assert.Equal(stream ? 200 : 502, reply.Status);
        Assert.Contains("exit code 4: out of memory", reply.Text, StringComparison.Ordinal);
        if (stream) Assert.NotNull(MatrixAnswer.Of(client, stream, reply).Error);
    }

    [Theory]
    [InlineData("garbage", "clean")]
    [InlineData("quiet", "all")]
    public async Task Program_ends_without_saying_so_Its_success_is_the_end(string pipeline, string text)
    {
        var answer = MatrixAnswer.Of("openai", true, await AskAsync("openai", true, pipeline));

        Assert.Equal((text, "stop", null), (answer.Text, answer.Reason, answer.Error));
    }

    [Fact]
    public async Task Program_prints_what_is_no_event_It_is_logged_and_counted()
    {
        var id = (await AskAsync("openai", false, "garbage")).TraceId;

        await Patience.Until(() => Task.FromResult(3 == house.Proxy.Log.Lines.Count(
            line => ProxyLog.Text(line, "event") is "job_line_unread" && line.GetRawText().Contains(id, StringComparison.Ordinal))), "three lines are logged");
        var metrics = (await RawClient.SendAsync(house.Proxy.Address, "GET", "/metrics")).Text;
        Assert.Matches("proxy_workflow_unreadable_total [1-9]", metrics);
        Assert.Matches("proxy_workflow_unknown_total [1-9]", metrics);
    }

    [Fact]
    public async Task Line_has_no_end_The_call_fails_and_the_program_is_ended()
    {
        var reply = await AskAsync("openai", false, "long");

        Assert.Equal(502, reply.Status);
        Assert.Contains("longer than 1048576 bytes", reply.ErrorMessage, StringComparison.Ordinal);
        await GoneAsync(reply.TraceId);
    }

    [Fact]
    public async Task Program_is_silent_The_call_times_out_and_the_program_is_ended()
    {
        var reply = await AskAsync("openai", false, "hang");

        Assert.Equal(504, reply.Status);
        await GoneAsync(reply.TraceId);
    }

    [Fact]
    public async Task Program_is_missing_The_call_is_refused_by_its_name()
    {
        var reply = await AskAsync("openai", false, "missing");

        Assert.InRange(reply.Status, 500, 503);
        Assert.Contains("/no/such/program", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Document_Says_what_is_to_be_done_and_has_no_credential()
    {
        var reply = await RawClient.SendAsync(house.Proxy.Address, "POST", "/v1/chat/completions",
            Encoding.UTF8.GetBytes("""{"model":"pipeline/document","messages":[{"role":"user","content":"do it"}],"temperature":0.5}"""),
            "authorization: Bearer sk-of-the-client", "x-correlation-id: corr-1", "x-workspace: w");

        Assert.Equal(200, reply.Status);
        var document = await File.ReadAllTextAsync(house.In("document"));
        var said = System.Text.Json.JsonElement.Parse(document);
        Assert.Equal((reply.TraceId, "corr-1", "document", "w"), (said.GetProperty("trace_id").GetString(), said.GetProperty("correlation_id").GetString(),
            said.GetProperty("pipeline").GetString(), said.GetProperty("workspace").GetString()));
        Assert.Equal(0.5, said.GetProperty("params").GetProperty("temperature").GetDouble());
        Assert.Equal($"{house.Proxy.Address}v1", said.GetProperty("proxy").GetProperty("base_url").GetString());
        Assert.DoesNotContain("sk-of-the-client", document, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_leaves_The_program_and_its_children_are_ended()
    {
        await using var client = await BeginAsync("slow-leave");

        client.Leave();

        await GoneAsync(TraceOf(client));
    }

    [Fact]
    public async Task Call_is_deleted_The_program_is_ended_and_the_client_told()
    {
        await using var client = await BeginAsync("slow-delete", "x-resume: 1");

        var deleted = await RawClient.SendAsync(house.Proxy.Address, "DELETE", $"/v1/streams/{TraceOf(client)}");

        Assert.True(deleted.Json.GetProperty("cancelled").GetBoolean());
        Assert.Equal("cancelled", OpenAi.ReadError(await client.ReadRestAsync()).GetProperty("code").GetString());
        await GoneAsync(TraceOf(client));
    }

    [Fact]
    public async Task Answer_is_read_again_It_is_the_same()
    {
        var first = await AskAsync("openai", true, "talk", "", "x-resume: 1");

        var again = await RawClient.SendAsync(house.Proxy.Address, "GET", $"/v1/streams/{first.TraceId}");
        var events = await RawClient.SendAsync(house.Proxy.Address, "GET", $"/v1/streams/{first.TraceId}?as=anthropic");

        Assert.Equal(first.Text, again.Text);
        Assert.Equal("Hello, wörld", MatrixAnswer.Of("anthropic", true, events).Text);
    }

    [Fact]
    public async Task Key_is_sent_again_The_program_runs_once()
    {
        var key = $"idempotency-key: {Guid.NewGuid()}";
        var before = Runs();

        var first = await AskAsync("ollama", true, "talk", "", key);
        var second = await AskAsync("ollama", true, "talk", "", key);

        Assert.Equal(first.Text, second.Text);
        Assert.Equal(1, Runs() - before);

        int Runs() => File.Exists(house.In("runs-talk")) ? File.ReadAllLines(house.In("runs-talk")).Length : 0;
    }

    [Fact]
    public async Task Equal_call_may_be_answered_from_the_cache_The_program_runs_once()
    {
        const string Use = "x-cache: use";

        var first = await AskAsync("openai", false, "cached", "", Use);
        var second = await AskAsync("openai", true, "cached", "", Use);

        Assert.Equal(("miss", "hit"), (first.Header("x-cache"), second.Header("x-cache")));
        Assert.Equal("once", OpenAi.Read(second));
        Assert.Single(await File.ReadAllLinesAsync(house.In("runs-cached")));
    }

    [Fact]
    public async Task Artifacts_Are_in_the_store_before_the_answer_ends()
    {
        var id = (await AskAsync("openai", true, "artifact")).TraceId;

        Assert.Equal(["2", "anonymous", "file:///srv/report.md", "text/markdown", "{\"points\":8}"], SqliteFile.Query(house.Proxy.StoreFile, $"""
            select count(*), min(owner), max(uri), max(media_type), max(value) from artifacts where trace_id = '{id}'
            """).Select(static value => value is { } text && text.StartsWith("anonymous", StringComparison.Ordinal) ? "anonymous" : value));
        Assert.Equal(["talk"], SqliteFile.Query(house.Proxy.StoreFile, $"""
            select pipeline from exchanges where trace_id = '{(await AskAsync("openai", true, "talk")).TraceId}'
            """));
    }

    [Fact]
    public async Task Operator_runs_a_pipeline_from_a_terminal()
    {
        var url = house.Proxy.Address.ToString();

        Assert.Equal((0, "Hello, wörld\n"), await house.Proxy.CommandAsync("run", "talk", "do", "it", "--url", url));
        var (code, output) = await house.Proxy.CommandAsync("run", "late", "x", "--url", url);
        Assert.Equal(1, code);
        Assert.StartsWith("half\n", output, StringComparison.Ordinal);
        Assert.Contains("out of memory", output, StringComparison.Ordinal);
        (code, output) = await house.Proxy.CommandAsync("run", "nothing", "x", "--url", url + "v1");
        Assert.Equal(1, code);
        Assert.Contains("there is no pipeline 'nothing'", output, StringComparison.Ordinal);
        (code, output) = await house.Proxy.CommandAsync("run", "tools", "x", "--json", "--url", url);
        Assert.Equal(0, code);
        Assert.Contains("{\"type\":\"token\",\"text\":\"\\nweather", output, StringComparison.Ordinal); // the client offers no such tool
    }

    [Fact]
    public async Task Operator_presses_Ctrl_C_The_program_is_ended()
    {
        var program = ProxyProcess.Program();
        var start = new ProcessStartInfo(program[0], [.. program[1..], "run", "slow-stop", "x", "--url", house.Proxy.Address.ToString()]);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        using var command = Process.Start(start)!;
        var buffer = new char[7];
        await Patience.For(command.StandardOutput.ReadBlockAsync(buffer).AsTask(), "the first word");
        var id = (await File.ReadAllTextAsync(house.In("pid-stop"))).Trim();

        _ = ProxyProcess.Kill(command.Id, 2);

        await Patience.For(command.WaitForExitAsync(), "the command's end");
        Assert.Equal((1, "working"), (command.ExitCode, new string(buffer)));
        await Patience.Until(() => Task.FromResult(!Directory.Exists($"/proc/{id}")), "the program is gone");
    }

    [Fact]
    public async Task Proxy_stops_Its_programs_have_ended_before_it()
    {
        await using var proxy = await ProxyProcess.StartAsync($"""
            {FrontDoor.Server("drain = \"1s\"")}
            [log]
            format = "json"
            [inference]
            bundled = false
            {House.Pipeline("stubborn", "/bin/sh", "-c", "trap '' TERM; setsid sleep 1000 & echo '{{}}'; while :; do sleep 1; done")}
            """);
        await using var client = await RawClient.ConnectAsync(proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Body(Clients["openai"].Body, true, "stubborn"));
        await client.ReadHeadAsync(); // two seconds after the launch
        Assert.True(IsLeft(TraceOf(client)));

        proxy.Signal(PosixSignal.SIGTERM);
        await proxy.ExitAsync();

        Assert.False(IsLeft(TraceOf(client)));
    }

    private Task<RawReply> AskAsync(string client, bool stream, string pipeline, string more = "", params string[] headers)
    {
        var (path, body, _) = Clients[client];
        return RawClient.SendAsync(house.Proxy.Address, "POST", path, Body(body, stream, pipeline, more), headers);
    }

    private static byte[] Body(string body, bool stream, string pipeline, string more = "") => Encoding.UTF8.GetBytes(
        body.Replace("MODEL", $"pipeline/{pipeline}", StringComparison.Ordinal).Replace("STREAM", stream ? "true" : "false", StringComparison.Ordinal)
            .Replace(" MORE", more, StringComparison.Ordinal));

    private async Task<RawClient> BeginAsync(string pipeline, params string[] headers)
    {
        var client = await RawClient.ConnectAsync(house.Proxy.Address);
        await client.RequestAsync("POST", "/v1/chat/completions", Body(Clients["openai"].Body, true, pipeline), headers);
        await client.ReadHeadAsync();
        await client.ReadUntilAsync("working");
        var id = int.Parse((await File.ReadAllTextAsync(house.In("pid-" + pipeline[5..]))).Trim(), CultureInfo.InvariantCulture);
        Assert.True(Directory.Exists($"/proc/{id}"));
        return client;
    }

    private static string TraceOf(RawClient client) => client.Headers.First(static header => header.Name == "x-trace-id").Value;

    private static Task GoneAsync(string trace) => Patience.Until(() => Task.FromResult(!IsLeft(trace)), "no process of the job is left");

    private static bool IsLeft(string trace) =>
        Directory.EnumerateDirectories("/proc").Any(folder => Environ(folder).Contains(trace, StringComparison.Ordinal));

    private static string Environ(string folder)
    {
        try
        {
            return char.IsAsciiDigit(Path.GetFileName(folder)[0]) ? File.ReadAllText(Path.Combine(folder, "environ")) : "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
