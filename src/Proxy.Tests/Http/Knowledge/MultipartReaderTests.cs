using System.IO.Pipelines;
using System.Text;
using Proxy.Http.Knowledge;

namespace Proxy.Tests.Http.Knowledge;

public sealed class MultipartReaderTests
{
    private const string Form = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n"
        + "--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\none\r\n--\r\n--xo\r\r\n\r\n"
        + "--b--\r\n";

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Form_CutAnywhere_GivesTheSameParts()
    {
        for (var cut = 1; cut < Form.Length; cut++)
        {
            var parts = await ReadAsync(Form, cut);

            Assert.Equal([("purpose", null, "assistants"), ("file", "a.txt", "one\r\n--\r\n--xo\r\r\n")], parts);
        }
    }

    [Theory]
    [InlineData("preamble\r\n--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--", "1")] // no line break at the end
    [InlineData("--b \t\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\nepilogue\r\n--b\r\n", "1")]
    [InlineData("--b\r\ncontent-disposition: form-data; name=a\r\n\r\n\r\n--b--\r\n", "")]
    public async Task UnusualForms_AreRead(string form, string content) => Assert.Equal([("a", null, content)], await ReadAsync(form, 3));

    [Theory]
    [InlineData("name=\"file\"; filename=\"a b.txt\"", "a b.txt")]
    [InlineData("name=\"file\"; filename=a.txt", "a.txt")]
    [InlineData("name=\"file\"; filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt")]
    [InlineData("name=\"file\"; filename=\"say %22hi%22.txt\"", "say \"hi\".txt")]
    [InlineData("name=\"file\"; filename=\"C:\\docs\\a.txt\"", "C:\\docs\\a.txt")]
    [InlineData("name=\"file\"; filename=\"x\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt", "naïve €.txt")]
    [InlineData("name=\"file\"; filename=\"é;=.txt\"", "é;=.txt")]
    [InlineData("name=\"file\"; filename*=iso-8859-1'en'%A3.txt; filename=plain.txt", "plain.txt")]
    [InlineData("name=\"file\"; filename=\"\"", "")]
    public async Task NameOfFile_IsRead(string disposition, string expected)
    {
        var parts = await ReadAsync($"--b\r\ncontent-disposition: form-data; {disposition}\r\n\r\n1\r\n--b--\r\n", 7);

        Assert.Equal(("file", expected, "1"), Assert.Single(parts));
    }

    [Theory]
    [InlineData("", "ends before its last boundary")]
    [InlineData("no form at all", "ends before its last boundary")]
    [InlineData("--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n", "ends before its last boundary")]
    [InlineData("--b\r\ncontent-disposition: form-data; name=a", "ends before its last boundary")]
    [InlineData("--bx\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--b--", "followed by other text")]
    [InlineData("--b\r\n\r\n1\r\n--b--", "has no name")]
    [InlineData("--b\r\ncontent-disposition: form-data; filename=a\r\n\r\n1\r\n--b--", "has no name")]
    [InlineData("--b\r\ncontent-disposition: form-data; name=a; name=b\r\n\r\n1\r\n--b--", "has two names")]
    [InlineData("--b\r\ncontent-disposition: form-data; name=a\r\ncontent-disposition: form-data; name=b\r\n\r\n1\r\n--b--", "has two names")]
    public async Task BrokenForm_IsRefused(string form, string message)
    {
        var problem = await Assert.ThrowsAsync<FormException>(() => ReadAsync(form, 5));

        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EndlessHead_ManyParts_AndLongForm_AreRefused()
    {
        var part = "--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n";

        await Assert.ThrowsAsync<FormException>(() => ReadAsync("--b\r\nx: " + new string('y', 20_000), 1000));
        await Assert.ThrowsAsync<FormException>(() => ReadAsync("--b\r\n" + string.Concat(Enumerable.Repeat("x: y\r\n", 5000)), 1000));
        Assert.Equal(64, (await ReadAsync(string.Concat(Enumerable.Repeat(part, 64)) + "--b--", 1000)).Count);
        await Assert.ThrowsAsync<FormException>(() => ReadAsync(string.Concat(Enumerable.Repeat(part, 65)) + "--b--", 1000));
        Assert.True((await Assert.ThrowsAsync<FormException>(() => ReadAsync(part + new string(' ', 300_000), 1000, most: 100_000))).IsTooLarge);
    }

    [Fact]
    public async Task LargePart_ComesInPieces_NoneLargerThanTheBuffer()
    {
        var content = new byte[300_000];
        new Random(7).NextBytes(content);
        byte[] form = [.. "--b\r\ncontent-disposition: form-data; name=file; filename=f\r\n\r\n"u8, .. content, .. "\r\n--b--\r\n"u8];
        using var reader = new MultipartReader(PipeReader.Create(new MemoryStream(form)), "b", long.MaxValue);
        await reader.NextAsync(Stop);

        var read = new MemoryStream();
        while (await reader.ReadAsync(Stop) is { IsEmpty: false } piece)
        {
            Assert.InRange(piece.Length, 1, 128 << 10);
            read.Write(piece.Span);
        }

        Assert.Equal(content, read.ToArray());
        Assert.Null(await reader.NextAsync(Stop));
    }

    private static async Task<List<(string Name, string? FileName, string Content)>> ReadAsync(string form, int cut, long most = long.MaxValue)
    {
        var bytes = Encoding.UTF8.GetBytes(form);
        using var reader = new MultipartReader(PipeReader.Create(new Cuts(bytes, cut)), "b", most);
        var parts = new List<(string, string?, string)>();
        while (await reader.NextAsync(Stop) is { } part)
        {
            var content = new MemoryStream();
            while (await reader.ReadAsync(Stop) is { IsEmpty: false } piece) content.Write(piece.Span);
            parts.Add((part.Name, part.FileName, Encoding.UTF8.GetString(content.ToArray())));
        }

        return parts;
    }

    /// <summary>Gives at most so many bytes at a time.</summary>
    private sealed class Cuts(byte[] bytes, int length) : MemoryStream(bytes)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer.Length > length ? buffer[..length] : buffer, cancellationToken);
    }
}
