using System.Net;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary>The operator's requests over the admin socket of the running proxy. The files are read here: a service may not see them.</summary>
internal sealed class SocketLine(HttpClient http) : IOperatorLine
{
    public string Place => "the running proxy";

    public bool IsOwn => false;

    /// <summary>Null: no proxy runs.</summary>
    public static async Task<SocketLine?> OpenAsync(Surroundings around, CancellationToken cancellation)
    {
        var client = new AdminClient(around.Environment);
        try
        {
            await client.ReachAsync(cancellation).ConfigureAwait(false);
            return new(client.Open());
        }
        catch (AdminException e) when (e.Code is ExitCode.NotRunning)
        {
            return null;
        }
        catch (AdminException e)
        {
            throw new LibraryException(e.Code, $"{e.Message}, or use --url http://127.0.0.1:11435 and PROXY_KEY");
        }
    }

    public async Task<ReadOnlyMemory<byte>> AskAsync(string verb, ReadOnlyMemory<byte> asked, Stream? content, CancellationToken cancellation)
    {
        using var response = await SendAsync(verb, asked, content, HttpCompletionOption.ResponseContentRead, cancellation).ConfigureAwait(false);
        return await response.Content.ReadAsByteArrayAsync(cancellation).ConfigureAwait(false);
    }

    public async Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation)
    {
        using var response = await SendAsync("backup", "{}"u8.ToArray(), null, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
        var files = new List<BackupFile>();
        try
        {
            using var stream = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
            using var input = new BufferedStream(stream, 1 << 16);
            while (true)
            {
                var line = await LineAsync(input, cancellation).ConfigureAwait(false);
                if (JsonSerializer.Deserialize(line, KnowledgeRows.Default.BackupFile) is not { Name: { } name } file) break;
                var path = Path.GetFullPath(name, folder);
                if (!path.StartsWith(folder + Path.DirectorySeparatorChar, StringComparison.Ordinal)) throw new JsonException();
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                var output = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
                await using var written = output.ConfigureAwait(false);
                await CopyAsync(input, output, file.Bytes, cancellation).ConfigureAwait(false);
                files.Add(file);
            }
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or EndOfStreamException or HttpIOException)
        {
            throw new LibraryException($"the copy is not complete, the connection to the running proxy broke: {e.Message}");
        }

        return files;
    }

    public ValueTask DisposeAsync()
    {
        http.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<HttpResponseMessage> SendAsync(
        string verb, ReadOnlyMemory<byte> asked, Stream? content, HttpCompletionOption completion, CancellationToken cancellation)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/knowledge/" + verb) { Content = new LineAndContent(asked, content) };
            var response = await http.SendAsync(request, completion, cancellation).ConfigureAwait(false);
            if (response.IsSuccessStatusCode) return response;
            using (response)
            {
                var refusal = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
                var message = JsonSerializer.Deserialize(refusal, CliJson.Default.AdminRefusal)?.Error?.Message ?? throw new JsonException();
                throw new LibraryException(message) { IsOfFile = verb == "add" && response.StatusCode is HttpStatusCode.BadRequest };
            }
        }
        catch (JsonException)
        {
            throw new LibraryException($"the running proxy does not know /knowledge/{verb}; it has another version than this command");
        }
        catch (HttpRequestException e) when (e.InnerException is AdminException refused)
        {
            throw new LibraryException(refused.Code, refused.Message);
        }
        catch (HttpRequestException e)
        {
            throw new LibraryException($"the connection to the running proxy broke: {(e.InnerException ?? e).Message}");
        }
    }

    private static async Task<byte[]> LineAsync(Stream input, CancellationToken cancellation)
    {
        var line = new MemoryStream();
        var one = new byte[1];
        while (true)
        {
            await input.ReadExactlyAsync(one, cancellation).ConfigureAwait(false);
            if (one[0] == '\n') return line.ToArray();
            line.WriteByte(one[0]);
        }
    }

    private static async Task CopyAsync(Stream input, Stream output, long bytes, CancellationToken cancellation)
    {
        var buffer = new byte[1 << 16];
        while (bytes > 0)
        {
            var part = buffer.AsMemory(0, (int)Math.Min(bytes, buffer.Length));
            await input.ReadExactlyAsync(part, cancellation).ConfigureAwait(false);
            await output.WriteAsync(part, cancellation).ConfigureAwait(false);
            bytes -= part.Length;
        }
    }

    /// <summary>A line of JSON, then a file as long as it is when it is read: it may be written to meanwhile.</summary>
    private sealed class LineAndContent(ReadOnlyMemory<byte> line, Stream? content) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, default);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync(line, cancellationToken).ConfigureAwait(false);
            await stream.WriteAsync("\n"u8.ToArray(), cancellationToken).ConfigureAwait(false);
            if (content is not null) await content.CopyToAsync(stream, cancellationToken).ConfigureAwait(false);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = line.Length + 1;
            return content is null;
        }
    }
}
