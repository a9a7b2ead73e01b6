using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Proxy.Cli;
using Proxy.Config;
using Proxy.Tests.Backends;
using Proxy.Tests.Config;

namespace Proxy.Tests.Cli;

public sealed class CommandsTests : IDisposable
{
    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Theory]
    [InlineData("")]
    [InlineData("serv")]
    [InlineData("serve --lisen x")]
    [InlineData("serve extra")]
    [InlineData("keys")]
    [InlineData("keys new")]
    [InlineData("keys new anonymous")]
    [InlineData("keys new two_words?")]
    [InlineData("keys new k --concurrency 0")]
    [InlineData("healthcheck --timeout soon")]
    [InlineData("healthcheck --timeout 0s")]
    [InlineData("healthcheck --listen nowhere")]
    [InlineData("completion tcsh")]
    [InlineData("keys new k --env-file f --admin")]
    [InlineData("keys new local")]
    [InlineData("ingest docs")]
    [InlineData("ingest docs --jsonl - --watch")]
    [InlineData("ingest docs --jsonl x --prune")]
    [InlineData("ingest docs . --attributes team")]
    [InlineData("ingest docs . --attributes a=1 --attributes a=2")]
    [InlineData("ingest docs . --url nowhere")]
    [InlineData("search docs")]
    [InlineData("search docs words --top 0")]
    [InlineData("search docs words --top 51")]
    [InlineData("search docs words --filter [1]")]
    [InlineData("search docs words --rerank maybe")]
    [InlineData("search docs words --trace --url http://127.0.0.1:9")]
    [InlineData("workspaces rm")]
    [InlineData("backup")]
    [InlineData("polkit --user two;words")]
    public async Task A_wrong_command_line_Exits_2_and_says_why(string line)
    {
        var (code, _, error) = await proxy.RunAsync(line);

        Assert.Equal(ExitCode.Usage, code);
        Assert.NotEmpty(error);
    }

    [Theory]
    [InlineData("foo", "proxy has no command 'foo'. Its commands: serve, check, doctor, healthcheck, models, keys, calls, streams, stream, reload, drain, handoff, usage, forget, ingest, search, workspaces, backup, events, run, polkit, version, ")]
    [InlineData("relod", "proxy has no command 'relod'. Did you mean reload?")]
    [InlineData("checkk x", "proxy has no command 'checkk'. Did you mean check?")]
    [InlineData("models foo", "models has no command 'foo'. Its commands: local, pull, remove.")]
    [InlineData("models pul x", "models has no command 'pul'. Did you mean pull?")]
    [InlineData("keys nw", "keys has no command 'nw'. Did you mean new?")]
    [InlineData("serve extra", "'extra' is not expected: serve takes no more arguments.")]
    [InlineData("serve --lisen x", "serve has no option '--lisen'. Did you mean --listen?")]
    [InlineData("keys new k --wat", "keys new has no option '--wat'. Its options:")]
    public async Task A_word_that_nothing_takes_Is_answered_with_what_there_is(string line, string told)
    {
        var (code, output, error) = await proxy.RunAsync(line);

        Assert.Equal((ExitCode.Usage, ""), (code, output));
        Assert.StartsWith(told, error, StringComparison.Ordinal);
        Assert.DoesNotContain("-h", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("reload --config x.toml")]
    [InlineData("--config x.toml reload")]
    [InlineData("calls -c x.toml")]
    [InlineData("drain -c x.toml")]
    [InlineData("streams -c x.toml")]
    [InlineData("stream T1 -c x.toml")]
    public async Task A_file_for_the_running_proxy_Is_refused(string line)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/reload", """{"ok":true,"problems":[]}""");

        var (code, output, error) = await proxy.RunAsync(line);

        Assert.Equal((ExitCode.Usage, ""), (code, output));
        Assert.Contains("takes no --config: the running proxy keeps the file that it was started with", error, StringComparison.Ordinal);
        Assert.Empty(admin.Asked);
    }

    [Fact]
    public async Task Reload_of_what_needs_a_restart_Exits_5_and_names_it()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/reload", """{"ok":true,"problems":[],"needs_restart":["[server] listen","[log] format"]}""");

        var (code, output, error) = await proxy.RunAsync("reload");

        Assert.Equal((ExitCode.NeedsRestart, "reloaded\n"), (code, output));
        Assert.Equal(["[server] listen", "[log] format"], error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(told => told.Split(':')[0]));
    }

    [Fact]
    public async Task A_key_for_a_file_of_variables_Is_written_there_once_and_not_shown()
    {
        var file = proxy.InFolder(".env");
        await File.WriteAllTextAsync(file, "A=1", TestContext.Current.CancellationToken);

        var (code, output, _) = await proxy.RunAsync($"keys new box --env-file {file}");
        var lines = await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken);
        var (again, _, error) = await proxy.RunAsync($"keys new box --env-file {file}");

        Assert.Equal((ExitCode.Ok, $"{file} has the key now, as PROXY_API_KEY\n"), (code, output));
        Assert.Equal("A=1", lines[0]);
        Assert.Matches("^PROXY_API_KEY=pxy-[0-9A-Za-z]{43}$", lines[1]);
        Assert.Equal((ExitCode.Failed, $"{file} has a PROXY_API_KEY already; remove the line to make another\n"), (again, error));
        Assert.Equal(lines, await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken));
        var (_, _, _) = await proxy.RunAsync($"keys new box --env-file {proxy.InFolder("fresh")}");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(proxy.InFolder("fresh")));
    }

    [Fact]
    public async Task Calls_Are_shown_in_columns_the_longest_first()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/calls", """
            {"calls":[
              {"trace_id":"T1","correlation_id":"T1","surface":"/v1/chat/completions","stream":true,"answering":true,"running_ms":1250,"key":"laptop","model":"m","backend":"gpu","session":"s-1"},
              {"trace_id":"T2","correlation_id":"T2","surface":"/api/chat","stream":true,"answering":false,"running_ms":65000}]}
            """);

        var (code, output, _) = await proxy.RunAsync("calls");
        var (_, json, _) = await proxy.RunAsync("calls --json");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(
            "TRACE_ID  KEY     SURFACE               MODEL  BACKEND  STATE      RUNNING  SESSION\n" +
            "T2        -       /api/chat             -      -        waiting    1m5s     -\n" +
            "T1        laptop  /v1/chat/completions  m      gpu      streaming  1s       s-1\n", output);
        Assert.Equal(1250, JsonDocument.Parse(json).RootElement.GetProperty("calls")[0].GetProperty("running_ms").GetInt64());
    }

    [Theory]
    [InlineData(0, "draining; no call is running")]
    [InlineData(1, "draining; 1 call is still running")]
    [InlineData(3, "draining; 3 calls are still running")]
    public async Task Drain_Asks_the_running_proxy_and_says_what_runs_on(int running, string told)
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/drain", $$"""{"running":{{running}}}""", 202);

        var (code, output, _) = await proxy.RunAsync("drain");

        Assert.Equal((ExitCode.Ok, told + "\n"), (code, output));
        Assert.StartsWith("POST /drain HTTP/1.1\r\n", Assert.Single(admin.Asked), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_Lists_every_verb_and_every_exit_code()
    {
        var (code, help, _) = await proxy.RunAsync("--help");

        Assert.Equal(ExitCode.Ok, code);
        Assert.All(["serve", "check", "healthcheck", "models", "keys", "calls", "streams", "stream", "reload", "drain", "handoff", "ingest", "search",
            "workspaces", "backup", "polkit", "version", "completion"],
            verb => Assert.Contains($"\n  {verb} ", help, StringComparison.Ordinal));
        Assert.All(Enum.GetValues<ExitCode>(),
            exit => Assert.Matches($@"(^|\W){(int)exit} [a-z]", help[help.IndexOf("Exit codes:", StringComparison.Ordinal)..]));
    }

    [Fact]
    public async Task Check_Prints_what_a_good_file_comes_to()
    {
        proxy.Config = """
            default_backend = "gpu"
            [[backends]]
            name = "gpu"
            url = "http://127.0.0.1:8000"
            dialects = ["openai"]
            """;

        var (code, output, error) = await proxy.RunAsync("check");

        Assert.Equal((ExitCode.Ok, ""), (code, error));
        Assert.StartsWith($"{proxy.ConfigPath}: ok\n", output, StringComparison.Ordinal);
        Assert.Contains("gpu: http://127.0.0.1:8000 (openai), default", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("check")]
    [InlineData("serve")]
    [InlineData("models")]
    public async Task A_bad_file_Exits_3_with_every_problem_on_its_line(string verb)
    {
        proxy.Config = "[server]\nqueue = \"x\"\nlisen = []\n";

        var (code, output, error) = await proxy.RunAsync(verb);

        Assert.Equal((ExitCode.ConfigProblem, ""), (code, output));
        Assert.Equal(
            $"{proxy.ConfigPath}:2: server.queue: is a text; write a whole number without quotes\n{proxy.ConfigPath}:3: server.lisen: unknown key; did you mean \"listen\"?\n",
            error);
    }

    [Fact]
    public async Task Check_Takes_a_file_and_prints_JSON()
    {
        var file = proxy.InFolder("other.toml");
        await File.WriteAllTextAsync(file, "queue = 3", TestContext.Current.CancellationToken);

        var (code, output, _) = await proxy.RunAsync($"check {file} --json");

        var json = JsonDocument.Parse(output).RootElement;
        Assert.Equal((ExitCode.ConfigProblem, false, file), (code, json.GetProperty("ok").GetBoolean(), json.GetProperty("file").GetString()));
        Assert.Equal(("queue", 1),
            (json.GetProperty("problems")[0].GetProperty("key").GetString(), json.GetProperty("problems")[0].GetProperty("line").GetInt32()));
    }

    [Fact]
    public async Task Serve_Hands_the_host_what_it_read_and_returns_its_exit_code()
    {
        proxy.Config = "[server]\nlisten = [\"127.0.0.1:1\"]\nqueue = 7";
        LoadedConfig? served = null;

        var (code, _, error) = await proxy.RunAsync($"--config {proxy.ConfigPath} serve --listen 127.0.0.1:2 --listen unix:/x.sock", around => around with
        {
            Host = (config, _) =>
            {
                served = config;
                return Task.FromResult(ExitCode.Failed);
            },
        });

        Assert.Equal((ExitCode.Failed, ""), (code, error));
        Assert.Equal((proxy.ConfigPath, 7), (served!.Path, served.Config.Server.Queue));
        Assert.Equal(["127.0.0.1:2", "unix:/x.sock"], served.Config.Server.Listen);
        Assert.Equal(["127.0.0.1:2", "unix:/x.sock"], served.Reread().Config!.Server.Listen);
        Assert.Equal("1", Environment.GetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS"));
    }

    [Fact]
    public async Task A_configuration_with_problems_Starts_nothing()
    {
        proxy.Config = "[server]\nlisten = [\"0.0.0.0:1\"]";
        var started = false;

        var (code, _, error) = await proxy.RunAsync("serve", around => around with
        {
            Host = (_, _) =>
            {
                started = true;
                return Task.FromResult(ExitCode.Ok);
            },
        });

        Assert.Equal((ExitCode.ConfigProblem, false), (code, started));
        Assert.Contains("config.toml:2: server.listen[0]:", error, StringComparison.Ordinal);
        Assert.Contains("allow_anonymous = true", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_named_file_that_is_missing_Exits_3()
    {
        var (code, _, error) = await proxy.RunAsync("serve --config /no/such.toml");

        Assert.Equal((ExitCode.ConfigProblem, "/no/such.toml: there is no such file\n"), (code, error));
    }

    [Fact]
    public async Task A_new_key_Is_shown_once_and_its_section_lets_it_in()
    {
        var (code, output, _) = await proxy.RunAsync("keys new laptop --models qwen*,echo --workspaces docs,team-* --concurrency 2 --requests-per-minute 60");
        var (_, another, _) = await proxy.RunAsync("keys new laptop");

        Assert.Equal(ExitCode.Ok, code);
        var key = output.Split('\n')[0];
        Assert.Matches("^pxy-[0-9A-Za-z]{43}$", key);
        Assert.NotEqual(key, another.Split('\n')[0]);
        Assert.Equal(output.IndexOf(key, StringComparison.Ordinal), output.LastIndexOf(key, StringComparison.Ordinal));
        var read = Assert.Single(Toml.Good(output[output.IndexOf('#', StringComparison.Ordinal)..]).Auth.Keys);
        Assert.Equal(("laptop", ApiKeyConfig.Digest(key), 2, 60), (read.Name, read.Sha256, read.Concurrency, read.RequestsPerMinute));
        Assert.Equal(["qwen*", "echo"], read.Models);
        Assert.Equal(["docs", "team-*"], read.Workspaces);
    }

    [Fact]
    public async Task A_new_key_As_JSON_carries_the_same()
    {
        var (_, output, _) = await proxy.RunAsync("keys new ci --json");

        var json = JsonDocument.Parse(output).RootElement;
        Assert.Equal(ApiKeyConfig.Digest(json.GetProperty("key").GetString()!), json.GetProperty("sha256").GetString());
        Assert.Equal("ci", Assert.Single(Toml.Good(json.GetProperty("toml").GetString()!).Auth.Keys).Name);
    }

    [Fact]
    public async Task Licences_Of_all_that_is_inside_are_printed()
    {
        var (code, text, _) = await proxy.RunAsync("version --licenses");

        Assert.Equal(ExitCode.Ok, code);
        // Our own page, the Apache licence, and the notices that ONNX Runtime and .NET bring along.
        foreach (var words in (string[])["Files: libonnxruntime.so", "Files: libstdc++.so.6", "Files: libssl.a", "Files: libe_sqlite3.a", "Unicode, Inc.",
            "GNU General Public License", "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION", "protobuf", "License notice for Unicode data"])
            Assert.Contains(words, text, StringComparison.Ordinal);
        Assert.True(text.Length > 300_000, $"{text.Length} characters");
    }

    [Fact]
    public async Task Version_Says_what_was_built()
    {
        var (_, text, _) = await proxy.RunAsync("version");
        var (_, json, _) = await proxy.RunAsync("version --json");

        Assert.Matches(@"^proxy [0-9]+\.[0-9]+\.[0-9]+", text);
        Assert.Equal(VersionCommand.Version, JsonDocument.Parse(json).RootElement.GetProperty("version").GetString());
    }

    [Theory]
    [InlineData("bash", "complete -o default -F _proxy proxy")]
    [InlineData("zsh", "compdef _proxy proxy")]
    [InlineData("fish", "complete -c proxy")]
    public async Task Completion_Prints_a_script_for_the_shell(string shell, string line)
    {
        var (code, script, _) = await proxy.RunAsync($"completion {shell}");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains(line, script, StringComparison.Ordinal);
        Assert.Contains("[suggest:", script, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_Asks_the_running_proxy()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/reload", """{"ok":true,"problems":[]}""");

        var (code, output, _) = await proxy.RunAsync("reload");

        Assert.Equal((ExitCode.Ok, "reloaded\n"), (code, output));
        Assert.StartsWith("POST /reload HTTP/1.1\r\n", Assert.Single(admin.Asked), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reload_of_a_bad_file_Exits_3_with_its_problems()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/reload", """{"ok":false,"file":"/etc/proxy/config.toml","problems":[{"key":"server.queue","line":3,"message":"is a text"}]}""", 409);

        var (code, _, error) = await proxy.RunAsync("reload");

        Assert.Equal(ExitCode.ConfigProblem, code);
        Assert.Equal("/etc/proxy/config.toml:3: server.queue: is a text\nThe old configuration stays in use.\n", error);
    }

    [Fact]
    public async Task Reload_while_no_proxy_runs_Exits_4_and_says_where_it_looked()
    {
        var (code, _, error) = await proxy.RunAsync("reload");

        Assert.Equal((ExitCode.NotRunning, $"no proxy is running: none answers at {proxy.AdminSocket}\n"), (code, error));
    }

    [Fact]
    public async Task A_proxy_of_another_version_Is_told_apart()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket);

        var (code, _, error) = await proxy.RunAsync("reload");

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("does not know /reload", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Models_Shows_the_running_proxys_table_in_columns()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket).Json("/models", """
            {"models":[
              {"model":"qwen3:8b","backend":"gpu","context_length":40960,"loaded":true,"slots":8,"in_use":2,"health":"up","dialects":["openai","ollama"],"capabilities":["completion","tools"],"new":1},
              {"model":"small","resolved":"qwen3:8b","backend":"gpu","context_limit":40960,"health":"up","dialects":["ollama"]},
              {"model":"é","backend":"box","in_use":0,"health":"unknown","dialects":[]}]}
            """);

        var (code, output, _) = await proxy.RunAsync("models");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(
            "MODEL              BACKEND  CONTEXT  LOADED  SLOTS  HEALTH   DIALECTS       CAPABILITIES\n" +
            "qwen3:8b           gpu      40960    yes     2/8    up       openai,ollama  completion,tools\n" +
            "small -> qwen3:8b  gpu      <=40960  -       -      up       ollama         -\n" +
            "é                  box      -        -       0/-    unknown  -              -\n", output);
    }

    [Fact]
    public async Task Models_As_JSON_leaves_out_what_is_not_known()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/models", """{"models":[{"model":"é","backend":"box","in_use":0,"health":"up","dialects":["tei"]}]}""");

        var (_, output, _) = await proxy.RunAsync("models --json");

        Assert.Equal("""{"models":[{"model":"é","backend":"box","in_use":0,"health":"up","dialects":["tei"]}]}""",
            string.Concat(output.Split('\n').Select(line => line.Trim())).Replace("\": ", "\":", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Models_while_no_proxy_runs_Asks_the_hosts()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/props.http");
        using var gone = new TcpListener(IPAddress.Loopback, 0);
        gone.Start();
        var dead = gone.LocalEndpoint.ToString();
        gone.Stop();
        proxy.Config = $"[[backends]]\nname = \"gpu\"\nurl = \"{host.Url}\"\n[[backends]]\nname = \"old\"\nurl = \"http://{dead}\"\nmodels = [\"m\"]\ndialects = [\"ollama\"]";

        var (code, output, error) = await proxy.RunAsync("models");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(
            "MODEL        BACKEND  CONTEXT  LOADED  SLOTS  HEALTH  DIALECTS  CAPABILITIES\n" +
            "tiny-bigram  gpu      8192     yes     4      up      openai    completion,tools\n" +
            "m            old      -        -       -      down    ollama    -\n", output);
        Assert.Equal("No proxy is running; these are the hosts' own answers.\nold: connection refused\n", error);
    }

    [Fact]
    public async Task Host_lists_what_anothers_prefix_would_get_Check_and_models_say_so()
    {
        await using var host = new RecordedHost().Recorded("/v1/models", "llama.cpp/models.http").Recorded("/props", "llama.cpp/props.http");
        var file = $"[[backends]]\nname = \"gpu\"\nurl = \"builtin:echo\"\nprefixes = [\"tiny-\"]\n[[backends]]\nname = \"box\"\nurl = \"{host.Url}\"";
        proxy.Config = file;
        const string Said = "prefix \"tiny-\" of gpu does not get \"tiny-bigram\": box lists it, and a listed name takes precedence; write learn = false for box, or add the names that gpu should get to its models";

        var check = await proxy.RunAsync("check");
        var models = await proxy.RunAsync("models");
        var json = await proxy.RunAsync("check --json");
        proxy.Config = file + "\nlearn = false\nprefixes = [\"x\"]";
        var quiet = await proxy.RunAsync("check");

        Assert.Equal(ExitCode.Ok, check.Code);
        Assert.Contains($"  note        {Said}\n", check.Output, StringComparison.Ordinal);
        Assert.Contains(Said + "\n", models.Error, StringComparison.Ordinal);
        Assert.Contains("\"overruled\"", json.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("note", quiet.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Running_proxy_knows_of_a_prefix_that_is_overruled_Models_says_so()
    {
        await using var admin = new RecordedHost(proxy.AdminSocket)
            .Json("/models", """{"models":[],"overruled":[{"prefix":"q","backend":"gpu","by":"box","models":["q1","q2","q3","q4"]}]}""");

        var (_, _, error) = await proxy.RunAsync("models");

        Assert.Equal("prefix \"q\" of gpu does not get \"q1\", \"q2\", \"q3\" and 1 more: box lists them, and a listed name takes precedence; write learn = false for box, or add the names that gpu should get to its models\n", error);
    }

    [Fact]
    public async Task Models_where_every_host_is_down_Exits_1()
    {
        using var gone = new TcpListener(IPAddress.Loopback, 0);
        gone.Start();
        var dead = gone.LocalEndpoint.ToString();
        gone.Stop();
        proxy.Config = $"[[backends]]\nname = \"old\"\nurl = \"http://{dead}\"";

        Assert.Equal(ExitCode.Failed, (await proxy.RunAsync("models")).Code);
    }
}
