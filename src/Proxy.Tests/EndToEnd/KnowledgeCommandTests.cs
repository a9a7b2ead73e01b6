using System.Text.Json;
using Proxy.Cli;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// The commands for documents beside a running proxy that has no model host and no configuration for documents: over the admin socket, and over the public API.
/// </summary>
public sealed class KnowledgeCommandTests : IAsyncLifetime
{
    private const string Config = "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\nformat = \"json\"\n";
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-documents-").FullName;
    private ProxyProcess proxy = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => proxy = await ProxyProcess.StartAsync(Config);

    public async ValueTask DisposeAsync()
    {
        await proxy.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task The_first_minute_Ingest_and_search_answer_from_the_bundled_model()
    {
        Write("install.md", "# Install\n\nUnpack the archive into /opt and start the service with systemctl.\n");
        Write("bread.md", "# Bread\n\nMix flour, water, salt and yeast, and bake the dough in a hot oven.\n");

        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder);
        var (found, hits) = await proxy.CommandAsync("search", "docs", "how do I bake a loaf?", "--top", "1");
        var (_, again) = await proxy.CommandAsync("ingest", "docs", folder);
        var (_, traced) = await proxy.CommandAsync("search", "docs", "how do I bake a loaf?", "--trace");
        var (_, table) = await proxy.CommandAsync("workspaces", "--json");
        var (missed, none) = await proxy.CommandAsync("search", "nowhere", "x");

        Assert.Equal((0, "docs: 2 added; 2 chunks in all\n"), (code, Line(output)));
        Assert.Equal(0, found);
        Assert.StartsWith("1. bread.md › Bread", hits, StringComparison.Ordinal);
        Assert.Equal("docs: 2 unchanged; 2 chunks in all\n", Line(again));
        Assert.Contains("\nSTAGE ", traced, StringComparison.Ordinal);
        Assert.Contains("\nFILE ", traced, StringComparison.Ordinal);
        var row = Row(table);
        Assert.Equal(("docs", "local", 2), (row.GetProperty("name").GetString(), row.GetProperty("owner").GetString(), row.GetProperty("chunks").GetInt32()));
        Assert.Equal((1, "there is no workspace 'nowhere'"), (missed, none));
    }

    [Fact]
    public async Task The_proxy_Needs_not_see_the_files_and_reads_them_after_the_command_has_ended()
    {
        Write("gone.md", "Rivers flow to the sea.");

        var (_, output) = await proxy.CommandAsync("ingest", "docs", folder, "--no-wait");
        File.Delete(Path.Combine(folder, "gone.md"));
        await Patience.Until(async () => (await proxy.CommandAsync("search", "docs", "rivers")).ExitCode == 0, "the file is found");

        Assert.Equal("docs: 1 waiting to be read\n", Line(output));
    }

    [Fact]
    public async Task A_file_over_the_limit_Is_refused_by_itself()
    {
        await proxy.DisposeAsync();
        proxy = await ProxyProcess.StartAsync(Config + "[knowledge]\nfile_limit = \"1KiB\"\n");
        Write("large.md", new string('x', 2000));
        Write("small.md", "Rivers.");

        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder);
        var (_, remote) = await proxy.CommandAsync("ingest", "others", folder, "--url", proxy.Address.ToString());

        Assert.StartsWith("others: 1 added, 1 could not be read", remote, StringComparison.Ordinal);
        Assert.Equal(0, code);
        Assert.StartsWith("docs: 1 added, 1 could not be read", output, StringComparison.Ordinal);
        Assert.Contains("large.md: is larger than [knowledge] file_limit (0.001 MB)", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_machines_proxy_Is_filled_and_searched_over_its_public_api()
    {
        Write("a b/rivers \"1\".md", "Rivers flow to the sea.");
        Write("mountains.md", "Mountains are high.");
        var url = proxy.Address.ToString();

        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder, "--url", url, "--attributes", "team=geo");
        Write("mountains.md", "Deserts are dry.");
        File.Delete(Path.Combine(folder, "a b/rivers \"1\".md"));
        var (_, again) = await proxy.CommandAsync("ingest", "docs", folder, "--url", url, "--prune");
        var (found, json) = await proxy.CommandAsync(
            "search", "docs", "dry places", "--url", url, "--json", "--filter", """{"type":"eq","key":"team","value":"geo"}""");
        var (_, table) = await proxy.CommandAsync("workspaces", "--url", url);
        var (_, files) = await proxy.CommandAsync("workspaces", "rm", "docs", "--url", url, "--yes");
        var left = await RawClient.SendAsync(proxy.Address, "GET", "/v1/files", null);

        Assert.Equal((0, "docs: 2 added\n"), (code, Line(output)));
        Assert.Equal("docs: 1 replaced, 1 removed\n", Line(again));
        // The second command gave no attributes, so those of the first stay.
        Assert.Equal(0, found);
        var hit = Assert.Single(JsonDocument.Parse(json).RootElement.GetProperty("hits").EnumerateArray());
        Assert.Equal(("mountains.md", "Deserts are dry."), (hit.GetProperty("file").GetString(), hit.GetProperty("text").GetString()));
        Assert.Contains("docs  vs_", table, StringComparison.Ordinal);
        Assert.Equal("deleted docs\n", files);
        Assert.DoesNotContain("file-", left.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_backup_Is_made_while_the_proxy_runs_and_starts_another()
    {
        Write("a.md", "Rivers flow to the sea.");
        await proxy.CommandAsync("ingest", "docs", folder);
        var copy = Path.Combine(folder, "copy/knowledge");

        var (code, output) = await proxy.CommandAsync("backup", copy);
        await using var other = await ProxyProcess.StartAsync(Config, state: Path.Combine(folder, "copy"));
        var (found, hits) = await other.CommandAsync("search", "docs", "rivers");

        Assert.True(code == 0, output);
        Assert.Equal(0, found);
        Assert.Contains("Rivers flow", hits, StringComparison.Ordinal);
        Assert.Empty(Directory.GetDirectories(Path.GetDirectoryName(proxy.StoreFile)!, "backup-*"));
    }

    [Fact]
    public async Task Vectors_Are_computed_anew_by_the_running_proxy()
    {
        Write("a.md", "Rivers flow to the sea.");
        await proxy.CommandAsync("ingest", "docs", folder);

        var (code, output) = await proxy.CommandAsync("workspaces", "reembed", "docs");
        var (found, _) = await proxy.CommandAsync("search", "docs", "streams of water");

        Assert.Equal((0, "docs: embedded with all-minilm-q4\n"), (code, Line(output)));
        Assert.Equal(0, found);
    }

    [Fact]
    public async Task Other_models_are_configured_Old_vectors_serve_until_the_new_ones_are_complete()
    {
        Write("a.md", "Rivers flow to the sea.");
        Write("b.md", "Bread is baked in an oven.");
        await proxy.CommandAsync("ingest", "docs", folder);
        var state = Path.GetDirectoryName(proxy.StoreFile)!;
        await proxy.KillAsync();
        await using var next = await ProxyProcess.StartAsync(Config + "[knowledge]\nembedder = \"all-minilm\"\n", state: state);

        var (before, _) = await next.CommandAsync("search", "docs", "streams of water");
        var (_, old) = await next.CommandAsync("workspaces", "--json");
        var (code, output) = await next.CommandAsync("workspaces", "reembed", "docs");
        var (_, hits) = await next.CommandAsync("search", "docs", "streams of water", "--top", "1");
        var (_, table) = await next.CommandAsync("workspaces", "--json");

        Assert.Equal(0, before);
        Assert.Equal("all-minilm-q4", Row(old).GetProperty("models")[0].GetString());
        Assert.Equal((0, "docs: embedded with all-minilm\n"), (code, Line(output)));
        Assert.StartsWith("1. a.md", hits, StringComparison.Ordinal);
        Assert.Equal("all-minilm", Row(table).GetProperty("models")[0].GetString());
        Assert.False(Row(table).TryGetProperty("building", out _));
    }

    [Fact]
    public async Task A_file_is_replaced_Its_old_content_is_gone()
    {
        Write("a.md", "Rivers flow to the sea.");
        await proxy.CommandAsync("ingest", "docs", folder);
        Write("a.md", "Deserts are dry.");

        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder);
        var (_, hits) = await proxy.CommandAsync("search", "docs", "rivers");
        var (_, table) = await proxy.CommandAsync("workspaces", "--json");

        Assert.Equal((0, "docs: 1 replaced; 1 chunks in all\n"), (code, Line(output)));
        Assert.DoesNotContain("Rivers", hits, StringComparison.Ordinal);
        Assert.Contains("Deserts", hits, StringComparison.Ordinal);
        Assert.Equal((1, 1), (Row(table).GetProperty("chunks").GetInt32(), Row(table).GetProperty("files").GetProperty("completed").GetInt32()));
        var database = await File.ReadAllBytesAsync(Path.Combine(Path.GetDirectoryName(proxy.StoreFile)!, "knowledge/knowledge.db"), Stop);
        Assert.Equal(-1, database.AsSpan().IndexOf("Rivers flow to the sea."u8));
    }

    [Fact]
    public async Task Watch_Follows_the_folder_into_the_running_proxy()
    {
        Write("a.md", "Rivers flow to the sea.");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var around = new Surroundings(TextWriter.Null, TextWriter.Null, name => name == "PROXY_ADMIN_SOCKET" ? proxy.AdminSocket : null);

        var watching = ProxyCommand.RunAsync(["ingest", "docs", folder, "--watch", "--prune"], around, stop.Token);
        await Patience.Until(async () => (await SearchAsync("rivers")).Contains("Rivers", StringComparison.Ordinal), "the first file is found");
        Write("b/c.md", "Mountains are high.");
        await Patience.Until(async () => (await SearchAsync("mountains")).Contains("Mountains", StringComparison.Ordinal), "the new file is found");
        File.Delete(Path.Combine(folder, "a.md"));
        await Patience.Until(async () => !(await SearchAsync("rivers")).Contains("Rivers", StringComparison.Ordinal), "the deleted file is gone");
        await stop.CancelAsync();

        Assert.Equal(0, await watching);

        async Task<string> SearchAsync(string query) => (await proxy.CommandAsync("search", "docs", query)).Output;
    }

    [Fact]
    public async Task The_proxy_stops_Commands_go_on_with_its_documents_and_the_next_proxy_with_theirs()
    {
        Write("a.md", "Rivers flow to the sea.");
        await proxy.CommandAsync("ingest", "docs", folder);
        var state = Path.GetDirectoryName(proxy.StoreFile)!;
        proxy.Signal(System.Runtime.InteropServices.PosixSignal.SIGTERM);
        await proxy.ExitAsync();

        var (found, hits) = await proxy.CommandAsync("search", "docs", "rivers");
        Write("b.md", "Mountains are high.");
        var (code, output) = await proxy.CommandAsync("ingest", "docs", folder);
        await using var next = await ProxyProcess.StartAsync(Config, state: state);
        var (_, later) = await next.CommandAsync("search", "docs", "mountains", "--top", "1");

        Assert.Equal(0, found);
        Assert.Contains("Rivers", hits, StringComparison.Ordinal);
        Assert.Equal((0, "docs: 1 added, 1 unchanged; 2 chunks in all\n"), (code, Line(output)));
        Assert.Contains("Mountains", later, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_admin_socket_is_another_users_The_command_says_what_works_instead()
    {
        Write("a.md", "Rivers flow to the sea.");
        File.SetUnixFileMode(proxy.AdminSocket, UnixFileMode.None);
        // Without these rights root is a user like any other.
        string[] ordinary = Environment.IsPrivilegedProcess ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] : ["env"];

        var (code, output) = await RunAsync();
        var (other, added) = await RunAsync("--url", proxy.Address.ToString());

        Assert.Equal(1, code);
        Assert.Contains("belongs to another user", output, StringComparison.Ordinal);
        Assert.Contains("--url http://127.0.0.1:11435 and PROXY_KEY", output, StringComparison.Ordinal);
        Assert.Equal((0, "docs: 1 added\n"), (other, Line(added)));

        Task<(int ExitCode, string Output)> RunAsync(params string[] more) => Command.TryAsync(
            ordinary[0], [.. ordinary[1..], "env", $"PROXY_ADMIN_SOCKET={proxy.AdminSocket}", .. ProxyProcess.Program(), "ingest", "docs", folder, .. more]);
    }

    [Fact]
    public async Task A_proxy_that_starts_while_a_command_reads_Waits_for_its_lock()
    {
        await proxy.KillAsync();
        Write("a.md", "Rivers flow to the sea.");
        var state = Path.Combine(folder, ".state");
        ProxyProcess started;
        using (Proxy.Knowledge.Ingest.IngestLock.TryTake(Path.Combine(state, "knowledge")))
        {
            started = await ProxyProcess.StartAsync(Config, state: state);
            var (_, output) = await started.CommandAsync("ingest", "docs", folder, "--no-wait");
            var (code, _) = await started.CommandAsync("search", "docs", "rivers");

            Assert.Equal(("docs: 1 waiting to be read\n", 1), (Line(output), code));
        }

        await using (started)
        {
            var (code, output) = await started.CommandAsync("ingest", "docs", folder);

            Assert.Equal((0, "docs: 1 added; 1 chunks in all\n"), (code, Line(output)));
        }
    }

    /// <summary>The only workspace that <c>proxy workspaces --json</c> printed.</summary>
    private static JsonElement Row(string table) => Assert.Single(JsonElement.Parse(table).GetProperty("workspaces").EnumerateArray());

    /// <summary>The result. Behind it is what a slow machine's command says about its progress.</summary>
    private static string Line(string output) => output[..(output.IndexOf('\n', StringComparison.Ordinal) + 1)];

    private void Write(string path, string text)
    {
        var whole = Path.Combine(folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(whole)!);
        File.WriteAllText(whole, text);
    }
}
