using System.Text;
using System.Text.Json;
using Proxy.Cli;
using Proxy.Cli.Knowledge;

namespace Proxy.Tests.Cli.Knowledge;

/// <summary>The commands without a running proxy: on this user's own store, with the bundled model.</summary>
public sealed class IngestTests : IDisposable
{
    private readonly Shelf shelf = new();

    public void Dispose() => shelf.Dispose();

    [Fact]
    public async Task A_folder_Is_ingested_and_found_without_a_proxy_and_without_configuration()
    {
        shelf.Write("guide/install.md", "# Install\n\n## On Linux\n\nUnpack the archive into /opt and start the service with systemctl.\n");
        shelf.Write("guide/bread.md", "# Bread\n\nMix flour, water, salt and yeast, and bake the dough in a hot oven.\n");

        var (code, output, error) = await shelf.RunAsync("ingest docs FOLDER");
        var (found, hits, _) = await shelf.RunAsync("search docs how do I bake a loaf --top 1");
        var (_, json, _) = await shelf.RunAsync("search docs start the service --json --trace");
        var (_, table, _) = await shelf.RunAsync("workspaces");

        Assert.Equal((ExitCode.Ok, ""), (code, error));
        Assert.Equal("docs: 2 added; 2 chunks in all\n", output);
        Assert.Equal(ExitCode.Ok, found);
        Assert.StartsWith("1. bread.md › Bread  0.", hits, StringComparison.Ordinal);
        Assert.Contains("bake the dough", hits, StringComparison.Ordinal);
        Assert.Contains(Path.Combine(shelf.Folder, "guide/bread.md"), hits, StringComparison.Ordinal);
        var first = JsonDocument.Parse(json).RootElement.GetProperty("hits")[0];
        Assert.Equal(("install.md", "Install › On Linux"), (first.GetProperty("file").GetString(), first.GetProperty("heading").GetString()));
        Assert.NotEmpty(JsonDocument.Parse(json).RootElement.GetProperty("trace").GetProperty("candidates").EnumerateArray());
        Assert.Matches("^NAME +ID +OWNER +FILES +CHUNKS +SIZE +MODEL +STATUS\ndocs +vs_[0-9a-f]{24} +local +2 +2 +0.0 MB +all-minilm-q4 +ready\n$", table);
    }

    [Fact]
    public async Task What_is_unchanged_Is_skipped_and_what_changed_replaces_the_old()
    {
        shelf.Write("a.md", "The first text is about rivers.");
        shelf.Write("b.md", "The second text is about mountains.");
        await shelf.RunAsync("ingest docs FOLDER");
        shelf.Write("b.md", "The second text is about deserts.");
        shelf.Write("c.md", "The third text is about forests.");

        var (_, output, _) = await shelf.RunAsync("ingest docs FOLDER");
        var (_, again, _) = await shelf.RunAsync("ingest docs FOLDER");
        var (_, forced, _) = await shelf.RunAsync("ingest docs FOLDER --force");
        var (_, hits, _) = await shelf.RunAsync("search docs mountains deserts --json");

        Assert.Equal("docs: 1 added, 1 replaced, 1 unchanged; 3 chunks in all\n", output);
        Assert.Equal("docs: 3 unchanged; 3 chunks in all\n", again);
        Assert.Equal("docs: 3 replaced; 3 chunks in all\n", forced);
        Assert.Contains("deserts", hits, StringComparison.Ordinal);
        Assert.DoesNotContain("mountains", hits, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prune_Removes_what_left_the_disk_below_the_given_paths_alone()
    {
        shelf.Write("here/a.md", "Rivers.");
        shelf.Write("here/b.md", "Mountains.");
        shelf.Write("there/c.md", "Deserts.");
        await shelf.RunAsync("ingest docs FOLDER");
        File.Delete(Path.Combine(shelf.Folder, "here/b.md"));
        File.Delete(Path.Combine(shelf.Folder, "there/c.md"));

        var (_, kept, _) = await shelf.RunAsync("ingest docs FOLDER/here");
        var (_, dry, said) = await shelf.RunAsync("ingest docs FOLDER/here --prune --dry-run");
        var (_, pruned, _) = await shelf.RunAsync("ingest docs FOLDER/here --prune");
        var (missing, _, error) = await shelf.RunAsync("ingest docs FOLDER/nowhere --prune");
        var (_, hits, _) = await shelf.RunAsync("search docs rivers mountains deserts --json");

        Assert.Equal("docs: 1 unchanged; 3 chunks in all\n", kept);
        Assert.Equal("docs: 1 unchanged, 1 would be removed\n", dry);
        Assert.Contains("would remove " + Path.Combine(shelf.Folder, "here/b.md"), said, StringComparison.Ordinal);
        Assert.Equal("docs: 1 unchanged, 1 removed; 2 chunks in all\n", pruned);
        Assert.Equal(ExitCode.Failed, missing);
        Assert.Contains("nowhere: does not exist", error, StringComparison.Ordinal);
        Assert.DoesNotContain("Mountains", hits, StringComparison.Ordinal);
        Assert.Contains("Deserts", hits, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_cannot_be_read_Is_named_with_its_reason_and_the_rest_is_read()
    {
        shelf.Write("good.md", "Readable text.");
        shelf.Write("broken.pdf", "%PDF-1.4 this is no document");
        shelf.Write("photo.jpg", "\u0001\u0002");
        File.WriteAllBytes(Path.Combine(shelf.Folder, "data"), [1, 0, 2]);
        shelf.Write("empty.txt", "");

        var (code, output, error) = await shelf.RunAsync("ingest docs FOLDER");
        var (strict, _, again) = await shelf.RunAsync("ingest docs FOLDER --strict");
        var (alone, _, _) = await shelf.RunAsync("ingest docs FOLDER/broken.pdf");
        var (_, json, _) = await shelf.RunAsync("ingest docs FOLDER --json");
        File.WriteAllText(Path.Combine(shelf.Folder, "broken.pdf"), "%PDF-1.4 still none");
        var (_, table, _) = await shelf.RunAsync("ingest docs FOLDER").ContinueWith(_ => shelf.RunAsync("workspaces --json"), TaskScheduler.Default).Unwrap();

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal("docs: 1 added, 1 could not be read; 1 chunks in all\n", output);
        var reason = error.Split('\n').Single(static line => line.Contains("broken.pdf:", StringComparison.Ordinal));
        Assert.True(reason.Length > Path.Combine(shelf.Folder, "broken.pdf: ").Length, reason);
        Assert.Contains("skipped, of a format that is not read: " + Path.Combine(shelf.Folder, "photo.jpg"), error, StringComparison.Ordinal);
        Assert.Contains("skipped, binary: " + Path.Combine(shelf.Folder, "data"), error, StringComparison.Ordinal);
        Assert.Contains("skipped, empty: " + Path.Combine(shelf.Folder, "empty.txt"), error, StringComparison.Ordinal);
        Assert.Equal(ExitCode.Failed, strict);
        Assert.Contains(reason, again, StringComparison.Ordinal); // told again, without reading it again
        Assert.Equal(ExitCode.Failed, alone);
        var result = JsonDocument.Parse(json).RootElement;
        Assert.Equal((1, 1, 3), (result.GetProperty("unchanged").GetInt32(), result.GetProperty("failed").GetArrayLength(),
            result.GetProperty("skipped").GetArrayLength()));
        // One row of the broken file is kept, not one for each attempt.
        Assert.Equal(1, JsonDocument.Parse(table).RootElement.GetProperty("workspaces")[0].GetProperty("files").GetProperty("failed").GetInt32());
    }

    [Fact]
    public async Task Lines_of_another_system_Are_ingested_by_their_ids_and_wrong_lines_named_by_number()
    {
        File.WriteAllText(shelf.Line.InFolder("export.jsonl"), """
            {"id": "a/1", "title": "Rivers/Lakes", "text": "Water flows.", "url": "https://wiki.example/1", "attributes": {"team": "geo", "year": 2024}}
            {"id": 2, "text": "Mountains are high."}

            {"id": "3"}
            nothing
            {"id": "4", "text": "x", "attributes": {"a": [1]}}
            {"id": 2, "text": "twice"}
            {"id": "5", "text": "x", "body": "y"}
            """);
        var line = "ingest wiki --jsonl " + shelf.Line.InFolder("export.jsonl");

        var (code, output, error) = await shelf.RunAsync(line);
        var (_, again, _) = await shelf.RunAsync(line);
        var (_, filtered, _) = await shelf.RunAsync("search wiki water mountains --json --filter {\"type\":\"eq\",\"key\":\"team\",\"value\":\"geo\"}");
        var (_, relabelled, _) = await shelf.RunAsync("ingest wiki --jsonl -", around => around with
        {
            Input = () => new MemoryStream(Encoding.UTF8.GetBytes("{\"id\":2,\"text\":\"Mountains are high.\",\"attributes\":{\"team\":\"alps\"}}")),
        });
        var (_, moved, _) = await shelf.RunAsync("search wiki mountains --json --filter {\"type\":\"eq\",\"key\":\"team\",\"value\":\"alps\"}");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Equal("wiki: 2 added, 5 could not be read; 2 chunks in all\n", output);
        Assert.Contains("export.jsonl:4: \"text\" is missing\n", error, StringComparison.Ordinal);
        Assert.Contains("export.jsonl:5: is not a JSON object\n", error, StringComparison.Ordinal);
        Assert.Contains("export.jsonl:6: the attribute \"a\" is not a text, a number, true or false\n", error, StringComparison.Ordinal);
        Assert.Contains("export.jsonl:7: the id \"2\" stands on line 2 too\n", error, StringComparison.Ordinal);
        Assert.Contains("export.jsonl:8: \"body\" is not known", error, StringComparison.Ordinal);
        Assert.StartsWith("wiki: 2 unchanged, 5 could not be read", again, StringComparison.Ordinal);
        var hit = Assert.Single(JsonDocument.Parse(filtered).RootElement.GetProperty("hits").EnumerateArray());
        Assert.Equal(("Rivers Lakes.txt", "jsonl:a/1"), (hit.GetProperty("file").GetString(), hit.GetProperty("path").GetString()));
        Assert.Equal("https://wiki.example/1", hit.GetProperty("attributes").GetProperty("url").GetString());
        Assert.Equal("wiki: 1 with new attributes; 2 chunks in all\n", relabelled);
        Assert.Single(JsonDocument.Parse(moved).RootElement.GetProperty("hits").EnumerateArray());
    }

    [Fact]
    public async Task Dry_run_Makes_nothing()
    {
        shelf.Write("a.md", "Text.");

        var (code, output, error) = await shelf.RunAsync("ingest docs FOLDER --dry-run");

        Assert.Equal((ExitCode.Ok, "docs: 1 would be added\n"), (code, output));
        Assert.Contains("would read " + Path.Combine(shelf.Folder, "a.md"), error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(shelf.State));
    }

    [Fact]
    public async Task Attributes_Are_those_of_every_file_and_change_without_reading_it_again()
    {
        shelf.Write("a.md", "Text.");

        await shelf.RunAsync("ingest docs FOLDER --attributes team=geo");
        var (_, output, _) = await shelf.RunAsync("ingest docs FOLDER --attributes team=alps --attributes level=3");
        var (_, kept, _) = await shelf.RunAsync("ingest docs FOLDER");
        var (found, _, _) = await shelf.RunAsync("search docs text --filter {\"type\":\"gte\",\"key\":\"level\",\"value\":3}");
        var (missed, _, said) = await shelf.RunAsync("search docs text --filter {\"type\":\"eq\",\"key\":\"team\",\"value\":\"geo\"}");

        Assert.Equal("docs: 1 with new attributes; 1 chunks in all\n", output);
        Assert.Equal("docs: 1 unchanged; 1 chunks in all\n", kept);
        Assert.Equal((ExitCode.Ok, ExitCode.Failed, "nothing was found\n"), (found, missed, said));
    }

    [Fact]
    public async Task Two_commands_at_once_Do_not_both_read()
    {
        shelf.Write("a.md", "Text.");
        using (shelf.Lock())
        {
            var (code, output, error) = await shelf.RunAsync("ingest docs FOLDER");

            Assert.Equal((ExitCode.Failed, ""), (code, output));
            Assert.Contains("another command or proxy is reading documents into " + shelf.State, error, StringComparison.Ordinal);
        }

        Assert.Equal(ExitCode.Ok, (await shelf.RunAsync("ingest docs FOLDER")).Code);
    }

    [Fact]
    public async Task Files_that_wait_since_an_earlier_command_Are_read_by_the_next()
    {
        shelf.Write("a.md", "Rivers.");

        var (_, output, _) = await shelf.RunAsync("ingest docs FOLDER --no-wait");
        var (nothing, _, _) = await shelf.RunAsync("search docs rivers");
        var (_, read, _) = await shelf.RunAsync("ingest docs FOLDER");

        Assert.Equal("docs: 1 waiting to be read\n", output);
        Assert.Equal(ExitCode.Failed, nothing);
        Assert.Equal("docs: 1 added; 1 chunks in all\n", read);
    }

    [Fact]
    public async Task Watch_Catches_up_at_its_start_and_follows_changes_until_it_is_stopped()
    {
        shelf.Write("a.md", "Rivers.");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        using var output = new PassWriter();
        var around = new Surroundings(output, TextWriter.Null, shelf.Line.Environment.GetValueOrDefault);

        var running = ProxyCommand.RunAsync(["ingest", "docs", shelf.Folder, "--watch", "--prune", "--json"], around, stop.Token);
        var first = await output.NextAsync();
        shelf.Write("deep/er/b.md", "Mountains.");
        var second = await output.NextAsync();
        File.Delete(Path.Combine(shelf.Folder, "a.md"));
        var third = await output.NextAsync();
        await stop.CancelAsync();

        Assert.Equal((1, 0, 0), Counts(first));
        Assert.Equal((1, 1, 0), Counts(second));
        Assert.Equal((0, 1, 1), Counts(third));
        Assert.Equal((int)ExitCode.Ok, await running);

        static (int New, int Unchanged, int Removed) Counts(string line)
        {
            var result = JsonDocument.Parse(line).RootElement;
            return (result.GetProperty("new").GetInt32(), result.GetProperty("unchanged").GetInt32(), result.GetProperty("removed").GetInt32());
        }
    }

    [Fact]
    public async Task A_workspace_Is_deleted_with_its_files_after_a_question()
    {
        shelf.Write("a.md", "Rivers.");
        await shelf.RunAsync("ingest docs FOLDER");

        var (asked, _, question) = await shelf.RunAsync("workspaces rm docs", static around => around with { ReadLine = static () => "n" });
        var (deleted, output, _) = await shelf.RunAsync("workspaces rm docs --yes");
        var (unknown, _, error) = await shelf.RunAsync("search docs rivers");
        var (_, _, none) = await shelf.RunAsync("workspaces");

        Assert.Equal(ExitCode.Failed, asked);
        Assert.Contains("with 1 files? This cannot be undone.", question, StringComparison.Ordinal);
        Assert.Equal((ExitCode.Ok, "deleted docs\n"), (deleted, output));
        Assert.Equal((ExitCode.Failed, "there is no workspace 'docs'\n"), (unknown, error));
        Assert.StartsWith("There is no workspace in ", none, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_backup_Is_a_store_of_its_own()
    {
        shelf.Write("a.md", "Rivers.");
        await shelf.RunAsync("ingest docs FOLDER");
        var copy = shelf.Line.InFolder("copy/knowledge");

        var (code, output, _) = await shelf.RunAsync("backup " + copy);
        var (again, _, error) = await shelf.RunAsync("backup " + copy);
        shelf.Line.Environment["STATE_DIRECTORY"] = shelf.Line.InFolder("copy");
        var (found, hits, _) = await shelf.RunAsync("search docs rivers");

        Assert.Equal(ExitCode.Ok, code);
        Assert.StartsWith($"{copy}: ", output, StringComparison.Ordinal);
        Assert.Equal((ExitCode.Failed, $"{copy} is not empty; name another folder\n"), (again, error));
        Assert.Equal(ExitCode.Ok, found);
        Assert.Contains("Rivers.", hits, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Vectors_Are_computed_anew_with_other_models()
    {
        shelf.Write("a.md", "Rivers flow.");
        await shelf.RunAsync("ingest docs FOLDER");
        shelf.Line.Config = "[knowledge]\nembedder = \"all-minilm\"\n";

        var (code, output, error) = await shelf.RunAsync("workspaces reembed docs");
        var (_, table, _) = await shelf.RunAsync("workspaces --json");
        var (found, _, _) = await shelf.RunAsync("search docs a stream of water");

        Assert.Equal((ExitCode.Ok, "docs: embedded with all-minilm\n"), (code, output));
        Assert.Equal("", error);
        var row = JsonDocument.Parse(table).RootElement.GetProperty("workspaces")[0];
        Assert.Equal("all-minilm", row.GetProperty("models")[0].GetString());
        Assert.False(row.TryGetProperty("building", out _));
        Assert.Equal(ExitCode.Ok, found);
    }

    [Fact]
    public async Task Check_Says_where_documents_are_and_which_models_nothing_serves()
    {
        shelf.Line.Config = "[knowledge]\nembedder = [\"all-minilm-q4\", \"nomic\"]\nreranker = \"bge\"\n";

        var (code, output, _) = await shelf.RunAsync("check");

        Assert.Equal(ExitCode.Ok, code);
        Assert.Contains($"  documents   {shelf.State}/knowledge, embedded with all-minilm-q4 and nomic, reranked with bge\n", output, StringComparison.Ordinal);
        Assert.Contains("[knowledge] embedder: nothing serves the model \"nomic\"", output, StringComparison.Ordinal);
        Assert.Contains("[knowledge] reranker: nothing serves the model \"bge\"", output, StringComparison.Ordinal);
        Assert.DoesNotContain("model \"all-minilm-q4\"", output, StringComparison.Ordinal);
    }

    /// <summary>Gives each line that is written to the test.</summary>
    private sealed class PassWriter : StringWriter
    {
        private readonly System.Threading.Channels.Channel<string> lines = System.Threading.Channels.Channel.CreateUnbounded<string>();

        public override void WriteLine(string? value) => lines.Writer.TryWrite(value ?? "");

        public Task<string> NextAsync() => Harness.Patience.For(lines.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask(), "the next line");
    }
}
