namespace Proxy.Http.Knowledge;

/// <summary>
/// Holds an upload until all of it has arrived: a slow client then holds no transaction of the database open. Up to 1 MiB stays in memory; more is written to
/// a file that has no name, so that nothing remains if the process ends. Failures to write it are <see cref="IOException"/> and
/// <see cref="UnauthorizedAccessException"/>.
/// </summary>
/// <param name="folder">Where the file is made; null: in the system's folder of temporary files.</param>
internal sealed class UploadSpool(string? folder) : IAsyncDisposable
{
    private const int MostInMemory = 1 << 20;

    private Stream content = new MemoryStream();

    public long Length => content.Length;

    public async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        if (content is MemoryStream memory && memory.Length + bytes.Length > MostInMemory)
        {
            content = Nameless();
            memory.Position = 0;
            await memory.CopyToAsync(content, cancellation);
        }

        await content.WriteAsync(bytes, cancellation);
    }

    /// <summary>What was written, from its beginning. The spool still owns the stream.</summary>
    public Stream Rewind()
    {
        content.Position = 0;
        return content;
    }

    public ValueTask DisposeAsync() => content.DisposeAsync();

    private FileStream Nameless()
    {
        var place = folder ?? Path.GetTempPath();
        if (folder is not null) Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var path = Path.Combine(place, $"upload-{Guid.NewGuid():N}");
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None, Options = FileOptions.Asynchronous, BufferSize = 0,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        File.Delete(path); // the content stays until the stream is closed
        return file;
    }
}
