using System.Text.Json;
using Proxy.Cli;
using Proxy.Cli.Inference;
using Proxy.Inference;
using Proxy.Tests.Inference;

namespace Proxy.Tests.Cli;

/// <summary>Fetching, listing and removing models, with a fake hub.</summary>
public sealed class ModelsPullTests : IDisposable
{
    private const string Graph = "onnx/model.onnx";

    private readonly CommandLine proxy = new();

    public ModelsPullTests() => proxy.Environment["STATE_DIRECTORY"] = proxy.InFolder("state");

    private string Models => proxy.InFolder("state/models");

    private string Place => Path.Combine(Models, "owner/tiny");

    private string[] Left =>
        Directory.Exists(Models)
            ? [.. Directory.EnumerateFiles(Models, "*", SearchOption.AllDirectories)
                .Select(file => Path.GetRelativePath(Models, file)).Order(StringComparer.Ordinal)]
            : [];

    public void Dispose() => proxy.Dispose();

    private Task<(ExitCode Code, string Output, string Error)> PullAsync(FakeHub hub, string more = "", bool terminal = false)
    {
        proxy.Environment["HF_ENDPOINT"] = hub.Url;
        return proxy.RunAsync($"models pull owner/tiny {more}", around => around with { IsTerminal = terminal });
    }

    private void IsWhole(FakeHub hub)
    {
        Assert.Equal(["1_Pooling/config.json", "config.json", "config_sentence_transformers.json", "modules.json", Graph, "tokenizer.json",
            "tokenizer_config.json"], Left.Select(file => file["owner/tiny/".Length..]));
        Assert.All(Left, file => Assert.Equal(hub.Files[file["owner/tiny/".Length..]], File.ReadAllBytes(Path.Combine(Models, file))));
    }

    [Fact]
    public async Task Pull_Fetches_what_running_it_takes_and_says_how_to_serve_it()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");

        var (code, output, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Ok, code);
        IsWhole(hub);
        Assert.StartsWith($"owner/tiny: in {Place} (embed, ", output, StringComparison.Ordinal);
        Assert.EndsWith("[[inference.models]]\nname = \"tiny\"\npath = \"owner/tiny\"\n", output, StringComparison.Ordinal);
        Assert.Contains("\nonnx/model.onnx 0.8 MB\n", error, StringComparison.Ordinal);
        Assert.All(hub.Asked, head => Assert.DoesNotContain("Authorization", head, StringComparison.Ordinal));
        proxy.Config = output[output.IndexOf('[', StringComparison.Ordinal)..];
        Assert.Contains($"tiny: {Place}", (await proxy.RunAsync("check")).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pull_again_Asks_for_the_listing_alone()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        await PullAsync(hub);
        var asked = hub.Asked.Count;

        var (code, output, _) = await PullAsync(hub, "--json");

        Assert.Equal((ExitCode.Ok, asked + 1), (code, hub.Asked.Count));
        var json = JsonDocument.Parse(output).RootElement;
        Assert.False(json.GetProperty("pulled").GetBoolean());
        Assert.Equal((FakeHub.Commit, Place, "embed", "fp32"), (json.GetProperty("commit").GetString(), json.GetProperty("path").GetString(),
            json.GetProperty("kind").GetString(), json.GetProperty("variant").GetString()));
        Assert.Equal(json.GetProperty("files").EnumerateArray().Sum(file => file.GetProperty("size_bytes").GetInt64()),
            json.GetProperty("size_bytes").GetInt64());
    }

    [Fact]
    public async Task Newer_revision_Fetches_what_changed_and_takes_the_place()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        await PullAsync(hub);
        hub.Files["tokenizer_config.json"] = """{"model_max_length": 77}"""u8.ToArray();

        var (code, _, _) = await PullAsync(hub);

        Assert.Equal(ExitCode.Ok, code);
        IsWhole(hub);
        Assert.Equal((1, 2), (hub.AskedFor(Graph).Count, hub.AskedFor("tokenizer_config.json").Count));
    }

    [Fact]
    public async Task Connection_cut_mid_file_Goes_on_at_the_byte()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed").Cut(100_000, 50_000);

        var (code, _, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Ok, code);
        IsWhole(hub);
        Assert.Equal(["", "bytes=100000-", "bytes=150000-"], hub.AskedFor(Graph)
            .Select(head => head.Split("\r\n").FirstOrDefault(line => line.StartsWith("Range: ", StringComparison.Ordinal))?["Range: ".Length..] ?? ""));
        Assert.Contains("resumes at 0.1 MB", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pull_that_was_broken_off_Goes_on_in_the_next_run()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed").Cut(300_000, 0, 0, 0, 0, 0);
        using var client = new Hub(hub.Url, null);
        var pull = new HubPull(client, new PulledModels(Models), new PullProgress(TextWriter.Null, false, TimeProvider.System)) { Pause = TimeSpan.Zero };

        var thrown = await Assert.ThrowsAsync<HubException>(() => pull.RunAsync("owner/tiny", "main", "auto", TestContext.Current.CancellationToken));
        var (_, between, problem) = await proxy.RunAsync("models local");
        var fetched = hub.Asked.Count;
        var (code, _, error) = await PullAsync(hub);

        Assert.Contains("onnx/model.onnx of owner/tiny stopped at 0.3 MB of 0.8 MB", thrown.Message, StringComparison.Ordinal);
        Assert.Matches(@"\nowner/tiny  - ", between);
        Assert.Contains("owner/tiny: is incomplete; pull it again to resume", problem, StringComparison.Ordinal);
        Assert.Equal((ExitCode.Ok, fetched + 2), (code, hub.Asked.Count)); // the listing, and the rest of the graph
        Assert.Contains("Range: bytes=300000-\r\n", hub.Asked[^1], StringComparison.Ordinal);
        Assert.Contains("onnx/model.onnx 0.8 MB, resumed at 0.3 MB\n", error, StringComparison.Ordinal);
        IsWhole(hub);
    }

    [Fact]
    public async Task Host_that_does_not_resume_Sends_it_from_the_start()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed").Cut(100_000);
        hub.IgnoresRanges = true;

        Assert.Equal(ExitCode.Ok, (await PullAsync(hub)).Code);
        IsWhole(hub);
    }

    [Theory]
    [InlineData(Graph)]
    [InlineData("tokenizer.json")]
    public async Task Digest_is_another_It_is_refused_and_nothing_is_left(string file)
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        hub.Spoilt.Add(file);

        var (code, output, error) = await PullAsync(hub);

        Assert.Equal((ExitCode.Failed, ""), (code, output));
        Assert.Contains($"{file} of owner/tiny does not have the digest that the hub gives for it", error, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Models));
    }

    [Fact]
    public async Task Redirect_to_another_host_Goes_without_the_token()
    {
        await using var store = FakeHub.Of("tiny-bpe-embed").Cut(1000);
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        (hub.Store, hub.Token) = (store, "hf_secret");
        proxy.Environment["HF_TOKEN"] = "hf_secret";

        var (code, _, _) = await PullAsync(hub);

        Assert.Equal(ExitCode.Ok, code);
        IsWhole(hub);
        Assert.Equal(2, store.Asked.Count);
        Assert.All(store.Asked, head => Assert.DoesNotContain("hf_secret", head, StringComparison.Ordinal));
        Assert.Contains("Range: bytes=1000-\r\n", store.Asked[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "does not show owner/tiny: the name is wrong, or it is private or gated; then set HF_TOKEN")]
    [InlineData("wrong", "does not show owner/tiny to this HF_TOKEN")]
    public async Task Hub_refuses_It_says_what_to_set(string? token, string expected)
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        hub.Token = "right";
        if (token is not null) proxy.Environment["HF_TOKEN"] = token;

        var (code, _, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Models));
    }

    [Theory]
    [InlineData(403, "owner/tiny is gated: accept its terms at")]
    [InlineData(404, "has no model owner/tiny")]
    public async Task Files_are_refused_The_problem_is_told_at_once(int status, string expected)
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        hub.FileStatus = status;

        var (code, _, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Equal(2, hub.Asked.Count);
        Assert.Equal([], Directory.EnumerateFileSystemEntries(Models, "*", SearchOption.AllDirectories).ToArray());
    }

    [Theory]
    [InlineData("models pull owner/other", "has no model owner/other")]
    [InlineData("models pull owner/tiny --revision v9", "owner/tiny has no revision \"v9\"")]
    [InlineData("models pull owner/tiny --variant q4", "there is no q4 among onnx/model.onnx of owner/tiny; leave variant out, or write \"fp32\"")]
    public async Task Not_at_the_hub_It_says_what_is_missing(string line, string expected)
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        proxy.Environment["HF_ENDPOINT"] = hub.Url;

        var (code, _, error) = await proxy.RunAsync(line);

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Empty(Left);
    }

    [Theory]
    [InlineData(Graph, null, "owner/tiny has no ONNX graph")]
    [InlineData("tokenizer.json", null, "owner/tiny has no tokenizer.json")]
    [InlineData("modules.json", """[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]""",
        "modules.json of owner/tiny has a module that is not supported: Dense")]
    public async Task Model_cannot_be_served_It_is_refused_before_the_graph_is_fetched(string file, string? content, string expected)
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        if (content is null) hub.Files.Remove(file);
        else hub.Files[file] = System.Text.Encoding.UTF8.GetBytes(content);

        var (code, _, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Empty(hub.AskedFor(Graph));
        Assert.False(Directory.Exists(Place));
    }

    [Fact]
    public async Task Weights_beside_the_graph_Come_with_the_variant_that_is_asked_for()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        hub.Files["onnx/model_q4.onnx"] = "graph"u8.ToArray();
        hub.Files["onnx/model_q4.onnx_data"] = "weights"u8.ToArray();
        hub.Files["onnx/model_q4f16.onnx"] = "other"u8.ToArray();

        var (code, output, _) = await PullAsync(hub, "--variant q4 --json");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(["model_q4.onnx", "model_q4.onnx_data"],
            Directory.EnumerateFiles(Path.Combine(Place, "onnx")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal("q4", JsonDocument.Parse(output).RootElement.GetProperty("variant").GetString());
    }

    [Fact]
    public async Task Disk_has_no_room_Nothing_large_is_fetched()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        using var client = new Hub(hub.Url, null);
        var pull = new HubPull(client, new PulledModels(Models), new PullProgress(TextWriter.Null, false, TimeProvider.System)) { FreeBytes = _ => 1_000_000 };

        var thrown = await Assert.ThrowsAsync<HubException>(() => pull.RunAsync("owner/tiny", "main", "auto", TestContext.Current.CancellationToken));

        Assert.Contains("owner/tiny needs 1.2 MB in", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("and 1.0 MB are free", thrown.Message, StringComparison.Ordinal);
        Assert.Single(hub.Asked);
    }

    [Fact]
    public async Task Two_pulls_of_one_model_The_second_is_refused()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");
        Directory.CreateDirectory(Path.Combine(Models, "owner"));
        await using var other = new FileStream(Path.Combine(Models, "owner/.tiny.part.lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);

        var (code, _, error) = await PullAsync(hub);

        Assert.Equal(ExitCode.Failed, code);
        Assert.Contains("owner/tiny is being pulled by another process", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hub_is_not_there_It_says_so()
    {
        proxy.Environment["HF_ENDPOINT"] = "http://127.0.0.1:1";

        var (code, _, error) = await proxy.RunAsync("models pull owner/tiny");

        Assert.Equal(ExitCode.Failed, code);
        Assert.StartsWith("127.0.0.1:1 cannot be reached: ", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task On_a_terminal_A_bar_fills_up()
    {
        await using var hub = FakeHub.Of("tiny-bpe-embed");

        var (_, _, error) = await PullAsync(hub, terminal: true);

        Assert.Matches(@"\ronnx/model\.onnx          \[\.{20}\]   0%  0\.0/0\.8 MB  0\.0 MB/s  \r", error);
        Assert.Matches(@"\ronnx/model\.onnx          \[#{20}\] 100%  0\.8/0\.8 MB  [0-9.]+ MB/s  \n", error);
    }

    [Theory]
    [InlineData("models pull")]
    [InlineData("models pull ../secrets")]
    [InlineData("models pull /etc/proxy")]
    [InlineData("models pull a/b/c")]
    [InlineData("models pull a/..b")]
    [InlineData("models pull .hidden")]
    [InlineData("models pull owner/tiny --variant q2")]
    [InlineData("models remove owner/..")]
    [InlineData("models remove .")]
    public async Task A_name_that_leads_elsewhere_Exits_2(string line)
    {
        var (code, _, error) = await proxy.RunAsync(line);

        Assert.Equal(ExitCode.Usage, code);
        Assert.NotEmpty(error);
    }

    [Fact]
    public async Task Local_Lists_the_folders_and_remove_takes_one_away()
    {
        foreach (var (name, source) in new[] { ("owner/tiny", "tiny-bpe-embed"), ("owner/judge", "tiny-wordpiece-rerank"), ("late", "tiny-wordpiece-colbert") })
            Copy(TestModels.Folder(source), Path.Combine(Models, name));
        Directory.CreateDirectory(Path.Combine(Models, "broken"));
        await File.WriteAllTextAsync(Path.Combine(Models, "broken/config.json"), "{}", TestContext.Current.CancellationToken);

        var (code, table, error) = await proxy.RunAsync("models local");
        var (_, json, _) = await proxy.RunAsync("models local --json");
        var removed = await proxy.RunAsync("models remove owner/tiny");
        var again = await proxy.RunAsync("models remove owner/tiny");
        var owner = await proxy.RunAsync("models remove owner");
        await proxy.RunAsync("models remove owner/judge");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal(["MODEL KIND DIMENSIONS VARIANT SIZE", "broken - - - 0.0 MB", "late late-interaction - fp32", "owner/judge rerank - fp32",
            "owner/tiny embed 64 fp32"],
            table.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select((line, i) => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Take(i < 2 ? 9 : 4))));
        Assert.Equal($"broken: {Path.Combine(Models, "broken/tokenizer.json")} is missing\n", error);
        var row = JsonDocument.Parse(json).RootElement.GetProperty("models")[3];
        Assert.Equal(("owner/tiny", Place, 64),
            (row.GetProperty("model").GetString(), row.GetProperty("path").GetString(), row.GetProperty("dimensions").GetInt32()));
        Assert.Equal((ExitCode.Ok, "removed owner/tiny\n"), (removed.Code, removed.Output));
        Assert.Equal((ExitCode.Failed, $"there is no model owner/tiny in {Models}\n"), (again.Code, again.Error));
        Assert.Equal(ExitCode.Failed, owner.Code);
        Assert.Equal(["broken", "late"], Directory.EnumerateDirectories(Models).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Local_without_any_Says_how_to_get_one()
    {
        Assert.Equal((ExitCode.Ok, "", $"There is no model in {Models}; `proxy models pull NAME` downloads one.\n"), await proxy.RunAsync("models local"));
    }

    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories).Where(file => !file.EndsWith(".jsonl", StringComparison.Ordinal)))
        {
            var copy = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }
    }
}
