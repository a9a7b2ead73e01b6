using System.Text;
using Proxy.Knowledge;
using Proxy.Store.Sqlite;
using Proxy.Store.Sqlite.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Store;

/// <summary>The contract on SQLite. After each test the whole database is checked.</summary>
public sealed class SqliteKnowledgeContractTests : KnowledgeStoreContract
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-knowledge-").FullName;

    private static string Secret => "a secret of alice";

    private protected override ValueTask<IKnowledgeStore> NewAsync() => new(new SqliteKnowledgeStore(folder, Analyzer, Time));

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (File.Exists(KnowledgeDatabase.FileIn(folder))) Assert.Empty(new KnowledgeChecker(folder, Analyzer, VectorOf).Problems());
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Nothing_is_written_before_the_first_write_and_then_for_its_user_alone()
    {
        await Store.WorkspacesAsync(default);
        await Store.ClaimAsync("worker", Lease, default);
        await Store.ForgetAsync("alice", default);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));

        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha");

        const UnixFileMode Own = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var files = Directory.GetFiles(folder, "*", SearchOption.AllDirectories);
        Assert.Contains(files, static file => file.EndsWith("vectors/vs_docs-1.i8", StringComparison.Ordinal));
        Assert.All(files, static file => Assert.Equal(Own, File.GetUnixFileMode(file)));
        Assert.Equal(Own | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.Combine(folder, "vectors")));
    }

    [Fact]
    public async Task What_was_deleted_Is_in_no_file_any_more()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", [.. Enumerable.Range(0, 50).Select(n => $"{Secret} {n}")]);
        await IngestAsync("file-2", "beta");
        var (high, low) = (new sbyte[20], new sbyte[20]);
        VectorFile.Quantise(VectorOf($"{Secret} 7", Small), high, low);
        var row = System.Runtime.InteropServices.MemoryMarshal.AsBytes<sbyte>(high).ToArray();
        Assert.True(Contains(row));

        await Store.DeleteFileAsync("file-1", default);
        Assert.False(Contains(row));
        await Store.ForgetAsync("nobody", default); // moves the log into the file
        await Store.DisposeAsync();

        Assert.False(Contains(Encoding.UTF8.GetBytes(Secret)));
    }

    [Fact]
    public async Task Expired_Is_deleted_with_the_next_write()
    {
        await Store.SaveAsync(NewWorkspace("vs_old") with { ExpiresAfterDays = 1 }, default);
        await Store.AddFileAsync(
            new() { Id = "file-old", Owner = "alice", Name = "a", Sha256 = "", CreatedAt = Start, ExpiresAt = Start.AddHours(1) },
            new MemoryStream(new byte[3000]), default);
        await IngestAsync("file-1", ["alpha"], workspace: "vs_old");

        Time.Advance(TimeSpan.FromDays(2));
        await WorkspaceAsync("vs_new");

        using var connection = new SqliteConnection(KnowledgeDatabase.FileIn(folder));
        Assert.Equal(1, connection.Integer("select count(*) from workspaces"));
        Assert.Equal(0, connection.Integer("select count(*) from chunks"));
        Assert.Equal(1, connection.Integer("select count(*) from files"));
        Assert.Empty(Directory.GetFiles(Path.Combine(folder, "vectors")));
    }

    [Fact]
    public async Task Upload_of_a_killed_process_Is_removed_later()
    {
        await WorkspaceAsync();
        using (var connection = new SqliteConnection(KnowledgeDatabase.FileIn(folder)))
        {
            FileTable.TouchUpload(connection, "file-killed", Start.ToUnixTimeMilliseconds());
            FileTable.AddPart(connection, "file-killed", 0, new byte[5]);
        }

        Time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromMilliseconds(1));
        await WorkspaceAsync();
        using var reading = new SqliteConnection(KnowledgeDatabase.FileIn(folder));
        Assert.Equal(1, reading.Integer("select count(*) from file_parts"));

        Time.Advance(TimeSpan.FromMinutes(2));
        await WorkspaceAsync();
        Assert.Equal(0, reading.Integer("select count(*) from file_parts"));
    }

    [Fact]
    public async Task Backup_is_made_while_chunks_are_replaced_The_copy_is_whole()
    {
        var copy = Path.Combine(folder, "copy");
        await WorkspaceAsync();
        await IngestAsync("file-0", "alpha zero");
        using var stop = new CancellationTokenSource();
        var begun = new TaskCompletionSource();
        var writer = Task.Run(async () =>
        {
            for (var i = 0; !stop.IsCancellationRequested; i++)
            {
                await IngestAsync("file-1", $"beta {i}", $"gamma {i}", $"delta {i}");
                if (i == 5) begun.SetResult();
            }
        });

        await begun.Task;
        var other = await OpenAsync();
        await other.BackupAsync(copy, default);
        await stop.CancelAsync();
        await writer;

        Assert.DoesNotContain(new KnowledgeChecker(copy, Analyzer, VectorOf).Problems(), static problem =>
            !problem.Contains("clean", StringComparison.Ordinal) && !problem.Contains("deleted chunk", StringComparison.Ordinal));
        await using (var restored = new SqliteKnowledgeStore(copy, Analyzer, Time))
        {
            Assert.Equal(["alpha zero"], await FoundAsync("alpha", store: restored));
            Assert.Equal("alpha zero", (await NearestAsync("alpha zero", 9, store: restored))[0]);
            Assert.True(await restored.DetachAsync(Docs, "file-0", default));
        }

        Assert.All(Directory.GetFiles(copy, "*", SearchOption.AllDirectories),
            static file => Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file)));
        var problem = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await Store.BackupAsync(copy, default));
        Assert.Contains("not empty", problem.Message, StringComparison.Ordinal);
        Directory.Delete(copy, recursive: true);
    }

    [Fact]
    public async Task Backup_is_running_No_slot_is_used_again_and_no_vector_is_overwritten()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha", "beta");
        using (var connection = new SqliteConnection(KnowledgeDatabase.FileIn(folder))) Holds.Begin(connection, "backup", Start);

        await Store.DetachAsync(Docs, "file-1", default);
        await IngestAsync("file-2", "gamma");

        Assert.Equal(2, Assert.Single(await Store.ChunksFromAsync(Docs, 0, 9, default)).Slot);
        Time.Advance(Holds.Longest);
        await WorkspaceAsync(); // the process that held it has ended
        await IngestAsync("file-3", "delta");
        Assert.Equal(0, (await Store.ChunksFromAsync(Docs, 0, 9, default))[0].Slot);
    }

    [Fact]
    public async Task Analyzer_has_changed_The_postings_of_deleted_chunks_go_all_the_same()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha beta");
        await using (var later = new SqliteKnowledgeStore(folder, new OtherAnalyzer(), Time)) Assert.True(await later.DetachAsync(Docs, "file-1", default));

        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.Empty(await PostingsAsync(index, "alpha"));
    }

    [Fact]
    public async Task Database_is_damaged_The_error_says_so()
    {
        await File.WriteAllTextAsync(KnowledgeDatabase.FileIn(folder), new string('x', 5000));

        var problem = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await Store.WorkspacesAsync(default));
        Assert.Contains("damaged", problem.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await WorkspaceAsync());
        Assert.Contains("damaged", Assert.Single(await Store.CheckAsync(default)), StringComparison.Ordinal);
        File.Delete(KnowledgeDatabase.FileIn(folder));
    }

    [Fact]
    public async Task Vector_file_is_damaged_The_error_says_so()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha");
        var file = Path.Combine(folder, "vectors/vs_docs-1.i8");
        var content = await File.ReadAllBytesAsync(file);
        await File.WriteAllTextAsync(file, "not vectors, not at all");

        var other = await OpenAsync();
        var problem = await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await other.OpenAsync(Docs, default));

        Assert.Contains("vs_docs-1.i8", problem.Message, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(file, content);
    }

    [Fact]
    public async Task Disk_is_full_The_error_says_so_and_nothing_is_lost()
    {
        Machine.NeedsNamespaces();
        var disk = Directory.CreateTempSubdirectory("proxy-disk-").FullName;
        await Command.RunAsync("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk);
        try
        {
            await using var store = new SqliteKnowledgeStore(disk, Analyzer, Time);
            await store.SaveAsync(NewWorkspace(), default);
            var file = await store.AttachAsync(new() { Workspace = Docs, FileId = "file-1", Name = "a", Sha256 = "", CreatedAt = Start }, default);
            await store.ClaimAsync("worker", Lease, default);
            var chunks = 0;
            await Assert.ThrowsAsync<KnowledgeStoreException>(async () =>
            {
                for (; ; chunks += 50)
                {
                    var texts = Enumerable.Range(chunks, 50).Select(static n => $"word{n} {new string('x', 2000)}").ToArray();
                    Assert.True(await store.AppendAsync("worker", Lease, file, chunks, Chunks(file, texts, Small), false, default));
                }
            });
            await Assert.ThrowsAsync<KnowledgeStoreException>(async () =>
                await store.AddFileAsync(
                    new() { Id = "file-2", Owner = "a", Name = "a", Sha256 = "", CreatedAt = Start }, new MemoryStream(new byte[4 << 20]), default));

            Assert.Equal(chunks, (await store.WorkspaceAsync(Docs, default))!.Chunks);
            Assert.Equal($"word{chunks - 1} ", (await store.ChunksOfAsync(Docs, "file-1", chunks - 1, 1, default))[0].Text[..$"word{chunks - 1} ".Length]);
            Assert.Null(await store.FileAsync("file-2", default));
        }
        finally
        {
            await Command.RunAsync("umount", disk);
            Directory.Delete(disk);
        }
    }

    private bool Contains(ReadOnlySpan<byte> bytes)
    {
        foreach (var file in Directory.GetFiles(folder, "*", SearchOption.AllDirectories))
        {
            if (File.ReadAllBytes(file).AsSpan().IndexOf(bytes) >= 0) return true;
        }

        return false;
    }

    /// <summary>Gives other terms.</summary>
    private sealed class OtherAnalyzer : Proxy.Knowledge.Analysis.ITextAnalyzer
    {
        public int Version => 999;

        public List<string> Terms(string text) => [.. text.Split(' ').Select(static word => $"~{word}")];
    }
}
