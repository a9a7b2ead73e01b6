using System.Security.Cryptography;
using System.Text;
using Proxy.Knowledge;

namespace Proxy.Tests.Store;

/// <summary>Uploaded files, files in workspaces, their lists and batches.</summary>
public abstract partial class KnowledgeStoreContract
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1 << 20)]
    [InlineData((3 << 20) + 17)]
    public async Task File_Is_given_back_as_it_was_sent(int length)
    {
        var content = RandomNumberGenerator.GetBytes(length);

        var stored = await Store.AddFileAsync(
            new()
            {
                Id = "file-1", Owner = "alice", Name = "ä b.bin", Purpose = "user_data", Sha256 = "", CreatedAt = Start, ExpiresAt = Start.AddDays(1),
            },
            new Trickle(content), default);

        Assert.Equal((length, Convert.ToHexStringLower(SHA256.HashData(content))), (stored.Bytes, stored.Sha256));
        Assert.Equal(stored, await Store.FileAsync("file-1", default));
        using var copy = new MemoryStream();
        Assert.True(await Store.CopyFileAsync("file-1", copy, default));
        Assert.Equal(content, copy.ToArray());
    }

    [Theory]
    [InlineData(100)]
    [InlineData((2 << 20) + 5)]
    public async Task Upload_ends_in_the_middle_Nothing_of_it_is_there(int length)
    {
        await Assert.ThrowsAsync<EndOfStreamException>(async () => await Store.AddFileAsync(
            new() { Id = "file-1", Owner = "alice", Name = "a", Sha256 = "", CreatedAt = Start }, new Trickle(new byte[length], fails: true), default));

        Assert.Null(await Store.FileAsync("file-1", default));
        Assert.Empty(await Store.FilesAsync(null, null, new(10), default));
        Assert.Equal(3, (await AddFileAsync("file-1", "new")).Bytes);
    }

    [Fact]
    public async Task File_has_expired_It_is_not_there()
    {
        if (!Expires) return;
        await WorkspaceAsync();
        await Store.AddFileAsync(
            new() { Id = "file-1", Owner = "alice", Name = "a", Sha256 = "", CreatedAt = Start, ExpiresAt = Start.AddHours(1) }, Stream.Null, default);

        Time.Advance(TimeSpan.FromHours(1));

        Assert.Null(await Store.FileAsync("file-1", default));
        Assert.False(await Store.CopyFileAsync("file-1", Stream.Null, default));
        Assert.Empty(await Store.FilesAsync(null, null, new(10), default));
    }

    [Fact]
    public async Task File_is_deleted_Its_chunks_are_gone_from_every_workspace()
    {
        await WorkspaceAsync();
        await WorkspaceAsync("vs_other");
        await IngestAsync("file-1", ["alpha beta"]);
        await IngestAsync("file-1", ["alpha gamma"], workspace: "vs_other");

        Assert.True(await Store.DeleteFileAsync("file-1", default));

        Assert.Null(await Store.FileAsync("file-1", default));
        Assert.Null(await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Empty(await FoundAsync("alpha"));
        Assert.Empty(await FoundAsync("alpha", "vs_other"));
        Assert.False(await Store.DeleteFileAsync("file-1", default));
    }

    [Fact]
    public async Task Files_Are_listed_in_pages_in_both_directions()
    {
        // Two of each time, so that ids decide too.
        for (var i = 0; i < 6; i++) await AddFileAsync($"file-{i}", "", created: Start.AddSeconds(i / 2));
        await AddFileAsync("file-b", "", owner: "bob");

        async Task<string> Page(Page page) =>
            string.Concat((await Store.FilesAsync("alice", null, page, default)).Select(static file => file.Id["file-".Length..]));

        Assert.Equal("543210", await Page(new(10)));
        Assert.Equal("012345", await Page(new(10, Descending: false)));
        Assert.Equal("54", await Page(new(2)));
        Assert.Equal("32", await Page(new(2, After: "file-4")));
        Assert.Equal("34", await Page(new(2, Descending: false, After: "file-2")));
        Assert.Equal("32", await Page(new(2, Before: "file-1")));
        Assert.Equal("12", await Page(new(2, Descending: false, Before: "file-3")));
        Assert.Equal("", await Page(new(2, Before: "file-5")));
        Assert.Equal("", await Page(new(2, After: "file-0")));
        Assert.Equal("432", await Page(new(10, After: "file-5", Before: "file-1")));
        Assert.Equal("", await Page(new(10, Descending: false, After: "file-b"))); // of another owner: as one that does not exist
        Assert.Equal("", await Page(new(10, Before: "file-b")));
        Assert.Equal(7, (await Store.FilesAsync(null, null, new(10), default)).Count);
        Assert.Empty(await Store.FilesAsync(null, "other", new(10), default));
        Assert.Equal(6, (await Store.FilesAsync("alice", "assistants", new(10), default)).Count);
    }

    [Fact]
    public async Task Attached_file_Has_every_value()
    {
        await WorkspaceAsync();
        var file = new WorkspaceFile
        {
            Workspace = Docs, FileId = "file-1", Name = "a.md", Path = "/home/a.md", Sha256 = "ab", Attributes = "{\"n\":1.5}", ChunkTokens = 100,
            OverlapTokens = 10, Batch = "vsfb_1", CreatedAt = Start,
        };

        var attached = await Store.AttachAsync(file, default);

        Assert.Equal(file with { Ordinal = attached.Ordinal }, attached);
        Assert.True(attached.Ordinal > 0);
        Assert.Equal(attached, await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Equal(attached, Assert.Single(await Store.AttachedAsync(Docs, [attached.Ordinal, 99], default)));

        var failed = attached with { Status = FileStatus.Failed, ErrorCode = "invalid_file", Error = "why" };
        await Store.SaveAsync(failed with { Attributes = "{}", Name = "b.md", Path = "/home/b.md" }, default);
        Assert.Equal(failed, await Store.AttachedAsync(Docs, "file-1", default));
    }

    [Theory]
    [InlineData("Completed")]
    [InlineData("Failed")]
    [InlineData("Cancelled")]
    [InlineData("InProgress")]
    public async Task Attributes_are_set_Nothing_else_of_the_file_changes_and_the_version_rises(string state)
    {
        var status = Enum.Parse<FileStatus>(state);
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var before = (await Store.ClaimAsync("worker", Lease, default))!;
        Assert.True(await Store.AppendAsync("worker", Lease, before, 0, Chunks(before, ["alpha"], Small), status is FileStatus.Completed, default));
        if (status is not (FileStatus.Completed or FileStatus.InProgress)) await Store.SaveAsync(before with { Status = status }, default);
        before = (await Store.AttachedAsync(Docs, "file-1", default))!;
        var version = (await Store.WorkspaceAsync(Docs, default))!.Version;

        var after = await Store.SetAttributesAsync(Docs, "file-1", "{\"n\":1.5}", default);

        Assert.Equal((status, 1), (before.Status, before.Chunks));
        Assert.Equal(before with { Attributes = "{\"n\":1.5}" }, after);
        Assert.Equal(after, await Store.AttachedAsync(Docs, "file-1", default));
        Assert.True((await Store.WorkspaceAsync(Docs, default))!.Version > version);
        using var index = (await Store.OpenAsync(Docs, default))!;
        Assert.True(index.Workspace.Version > version);
        Assert.Null(await Store.ClaimAsync("other", Lease, default)); // the claim stays
        Assert.Null(await Store.SetAttributesAsync(Docs, "file-2", "{}", default));
        Assert.Null(await Store.SetAttributesAsync("vs_none", "file-1", "{}", default));
    }

    [Theory]
    [InlineData("Completed")]
    [InlineData("Failed")]
    [InlineData("Cancelled")]
    public async Task File_is_no_longer_in_progress_Its_status_stays(string state)
    {
        var status = Enum.Parse<FileStatus>(state);
        await WorkspaceAsync();
        var read = await AttachAsync("file-1");
        if (status is FileStatus.Completed) Assert.True(await AppendAllAsync("file-1", ["alpha"]));
        else await Store.SaveAsync(read with { Status = status, Error = "first" }, default);
        var before = await Store.AttachedAsync(Docs, "file-1", default);

        foreach (var other in Enum.GetValues<FileStatus>()) await Store.SaveAsync(read with { Status = other, Error = "second" }, default);

        Assert.Equal(before, await Store.AttachedAsync(Docs, "file-1", default));
        Assert.Equal(status is FileStatus.Completed ? ["alpha"] : [], await FoundAsync("alpha"));
        Assert.Null(await Store.ClaimAsync("worker", Lease, default));
    }

    [Fact]
    public async Task Status_changes_The_version_rises_and_the_claim_ends()
    {
        await WorkspaceAsync();
        await AttachAsync("file-1");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;
        var version = (await Store.WorkspaceAsync(Docs, default))!.Version;

        await Store.SaveAsync(claimed with { Status = FileStatus.Failed }, default);

        Assert.True((await Store.WorkspaceAsync(Docs, default))!.Version > version);
        Assert.False(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["alpha"], Small), true, default));
    }

    [Fact]
    public async Task File_that_has_ended_Is_not_made_one_that_is_read_by_an_old_copy()
    {
        await WorkspaceAsync();
        var old = await AttachAsync("file-1");
        await Store.SaveAsync(old with { Status = FileStatus.Failed, ErrorCode = "invalid_file", Error = "why" }, default);

        await Store.SaveAsync(old with { Status = FileStatus.InProgress }, default);

        var now = (await Store.AttachedAsync(Docs, "file-1", default))!;
        Assert.Equal((FileStatus.Failed, "why"), (now.Status, now.Error));
    }

    [Fact]
    public async Task Workspace_that_was_deleted_Is_not_brought_back_by_an_old_copy()
    {
        await WorkspaceAsync();
        var old = (await Store.WorkspaceAsync(Docs, default))!;
        await Store.DeleteWorkspaceAsync(Docs, default);

        await Store.SaveAsync(old with { Vectors = [Small] }, default);

        Assert.Null(await Store.WorkspaceAsync(Docs, default));
    }

    [Fact]
    public async Task Workspace_is_unknown_A_file_is_not_attached()
    {
        await WorkspaceAsync();
        await Assert.ThrowsAsync<KnowledgeStoreException>(async () => await AttachAsync("file-1", workspace: "vs_none"));
    }

    [Fact]
    public async Task File_is_attached_again_It_begins_anew()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", "alpha beta");
        var first = (await Store.AttachedAsync(Docs, "file-1", default))!;

        var second = await AttachAsync("file-1");

        Assert.True(second.Ordinal > first.Ordinal);
        Assert.Equal((FileStatus.InProgress, 0, 0L), (second.Status, second.Chunks, second.UsageBytes));
        Assert.Empty(await FoundAsync("alpha"));
        Assert.Equal(0, (await Store.WorkspaceAsync(Docs, default))!.Chunks);
        await Store.SaveAsync(first with { Status = FileStatus.Failed }, default); // of the row that is gone
        Assert.Equal(FileStatus.InProgress, (await Store.AttachedAsync(Docs, "file-1", default))!.Status);
    }

    [Fact]
    public async Task Files_of_a_workspace_Are_listed_by_state_and_batch()
    {
        await WorkspaceAsync();
        await WorkspaceAsync("vs_other");
        await AttachAsync("file-x", workspace: "vs_other", batch: "vsfb_1");
        for (var i = 0; i < 5; i++) await AttachAsync($"file-{i}", batch: i % 2 == 0 ? "vsfb_1" : null, created: Start.AddSeconds(i / 2));
        foreach (var (id, status) in ((string, FileStatus)[])[("file-1", FileStatus.Failed), ("file-2", FileStatus.Cancelled)])
            await Store.SaveAsync((await Store.AttachedAsync(Docs, id, default))! with { Status = status }, default);

        async Task<string> Page(FileStatus? status, string? batch, Page page) => string.Concat(
            (await Store.AttachedAsync(Docs, status, batch, page, default)).Select(static file => file.FileId["file-".Length..]));

        Assert.Equal("43210", await Page(null, null, new(10)));
        Assert.Equal("430", await Page(FileStatus.InProgress, null, new(10)));
        Assert.Equal("420", await Page(null, "vsfb_1", new(10)));
        Assert.Equal("40", await Page(FileStatus.InProgress, "vsfb_1", new(10)));
        Assert.Equal("23", await Page(null, null, new(2, Descending: false, After: "file-1")));
        Assert.Equal("21", await Page(null, null, new(2, Before: "file-0")));
        Assert.Equal(new FileCounts(3, 0, 1, 1), await Store.CountsAsync(Docs, null, default));
        Assert.Equal(new FileCounts(2, 0, 0, 1), await Store.CountsAsync(Docs, "vsfb_1", default));
    }

    [Fact]
    public async Task Batch_is_cancelled_Its_files_in_progress_are_too()
    {
        await WorkspaceAsync();
        await Store.AddBatchAsync(new("vsfb_1", Docs, Start, false), default);
        await AttachAsync("file-1", batch: "vsfb_1");
        Assert.True(await AppendAllAsync("file-1", ["alpha"]));
        await AttachAsync("file-2", batch: "vsfb_1");
        await AttachAsync("file-3");
        var claimed = (await Store.ClaimAsync("worker", Lease, default))!;

        Assert.Equal(new FileBatch("vsfb_1", Docs, Start, false), await Store.BatchAsync(Docs, "vsfb_1", default));
        Assert.True(await Store.CancelBatchAsync(Docs, "vsfb_1", default));

        Assert.True((await Store.BatchAsync(Docs, "vsfb_1", default))!.IsCancelled);
        Assert.Equal(new FileCounts(0, 1, 0, 1), await Store.CountsAsync(Docs, "vsfb_1", default));
        Assert.Equal("file-2", claimed.FileId);
        Assert.False(await Store.AppendAsync("worker", Lease, claimed, 0, Chunks(claimed, ["beta"], Small), true, default));
        Assert.Equal("file-3", (await Store.ClaimAsync("worker", Lease, default))!.FileId);
        Assert.False(await Store.CancelBatchAsync("vs_other", "vsfb_1", default));
    }

    [Fact]
    public async Task Path_has_several_rows_The_newest_that_is_completed_or_running_counts()
    {
        await WorkspaceAsync();
        await IngestAsync("file-1", ["one"], path: "/a");
        await AttachAsync("file-2", path: "/a");
        await AttachAsync("file-3", path: "/b");
        await Store.SaveAsync((await Store.AttachedAsync(Docs, "file-3", default))! with { Status = FileStatus.Failed }, default);
        await AttachAsync("file-4");

        Assert.Equal("file-2", Assert.Single(await Store.PathsAsync(Docs, default)).FileId);

        await Store.SaveAsync((await Store.AttachedAsync(Docs, "file-2", default))! with { Status = FileStatus.Failed }, default);
        Assert.Equal("file-1", Assert.Single(await Store.PathsAsync(Docs, default)).FileId);
    }

    /// <summary>A stream that gives its bytes in pieces of odd sizes, and may fail at its end.</summary>
    private sealed class Trickle(byte[] content, bool fails = false) : MemoryStream(content)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (fails && Position == Length) throw new EndOfStreamException(Encoding.ASCII.GetString("cut off"u8));
            return base.ReadAsync(buffer[..Math.Min(buffer.Length, 70_001)], cancellationToken);
        }
    }
}
