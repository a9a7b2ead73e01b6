using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Inference;

/// <summary>A Hugging Face hub with one repository, or the other host that such a hub redirects downloads to. One call for each connection.</summary>
internal sealed class FakeHub : IAsyncDisposable
{
    public const string Commit = "0123456789abcdef0123456789abcdef01234567";

    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentQueue<string> asked = new();
    private readonly ConcurrentQueue<int> cuts = new();
    private readonly CancellationTokenSource stop = new();
    private readonly Task serving;

    public FakeHub(string name = "owner/tiny")
    {
        Name = name;
        listener.Start();
        serving = listener.Server.ServeAsync(ServeAsync, stop.Token);
    }

    public string Name { get; }

    public string Url => $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}";

    public Dictionary<string, byte[]> Files { get; init; } = [];

    /// <summary>Files whose content differs from what the listing says.</summary>
    public HashSet<string> Spoilt { get; } = [];

    /// <summary>The host from which model graphs are downloaded. Null: this one.</summary>
    public FakeHub? Store { get; set; }

    /// <summary>The token that every call needs.</summary>
    public string? Token { get; set; }

    /// <summary>True if the whole file is sent even if a call asks for a range.</summary>
    public bool IgnoresRanges { get; set; }

    /// <summary>The status of every file from now on. 0: the normal one.</summary>
    public int FileStatus { get; set; }

    /// <summary>The heads of all requests so far.</summary>
    public IReadOnlyList<string> Asked => [.. asked];

    public IReadOnlyList<string> AskedFor(string file) => [.. asked.Where(head => head.Split(' ')[1].EndsWith('/' + file, StringComparison.Ordinal))];

    /// <summary>A repository with the files of a model's folder, and some files that the program does not need.</summary>
    public static FakeHub Of(string model)
    {
        var folder = TestModels.Folder(model);
        var files = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .ToDictionary(file => Path.GetRelativePath(folder, file), File.ReadAllBytes);
        files["README.md"] = "a model"u8.ToArray();
        files["pytorch_model.bin"] = new byte[5000];
        return new() { Files = files };
    }

    /// <summary>The next graph that is sent breaks off after this many bytes. Several values apply to several downloads in turn.</summary>
    public FakeHub Cut(params int[] after)
    {
        foreach (var bytes in after) cuts.Enqueue(bytes);
        return this;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await serving;
        listener.Dispose();
        stop.Dispose();
    }

    private async Task ServeAsync(Socket client)
    {
        await using var stream = new NetworkStream(client, ownsSocket: true);
        try
        {
            await AnswerAsync(stream);
        }
        catch (Exception failure) when (Connections.IsLeaving(failure))
        {
            // The caller left, or the test has ended.
        }
    }

    private async Task AnswerAsync(NetworkStream stream)
    {
        var text = new StringBuilder();
        var buffer = new byte[4096];
        while (!text.ToString().Contains("\r\n\r\n", StringComparison.Ordinal))
        {
            var read = await stream.ReadAsync(buffer, stop.Token);
            if (read == 0) return;
            text.Append(Encoding.Latin1.GetString(buffer, 0, read));
        }

        var head = text.ToString();
        asked.Enqueue(head);
        var path = Uri.UnescapeDataString(head.Split(' ')[1]);
        if (Token is not null && !head.Contains($"Authorization: Bearer {Token}\r\n", StringComparison.Ordinal))
            await SendAsync(stream, "401 Unauthorized", "{}"u8.ToArray());
        else if (path == $"/api/models/{Name}/revision/main?blobs=true") await SendAsync(stream, "200 OK", Encoding.UTF8.GetBytes(Listing()));
        else if (path.StartsWith($"/api/models/{Name}/revision/", StringComparison.Ordinal))
            await SendAsync(stream, "404 Not Found", "{}"u8.ToArray(), "X-Error-Code: RevisionNotFound\r\n");
        else if (FileStatus != 0) await SendAsync(stream, $"{FileStatus} It", []);
        else if (path.StartsWith($"/{Name}/resolve/{Commit}/", StringComparison.Ordinal)
            && Files.TryGetValue(path[$"/{Name}/resolve/{Commit}/".Length..], out var bytes))
            await SendFileAsync(stream, head, path, bytes);
        else await SendAsync(stream, "404 Not Found", "{}"u8.ToArray(), "X-Error-Code: RepoNotFound\r\n");
    }

    private async Task SendFileAsync(NetworkStream stream, string head, string path, byte[] bytes)
    {
        var isGraph = path.Contains(".onnx", StringComparison.Ordinal);
        if (Store is not null && isGraph)
        {
            await SendAsync(stream, "302 Found", [], $"Location: {Store.Url}{path}\r\n");
            return;
        }

        if (Spoilt.Any(file => path.EndsWith('/' + file, StringComparison.Ordinal)))
        {
            bytes = [.. bytes];
            bytes[^1] ^= 1;
        }

        var range = head.Split("\r\n").FirstOrDefault(line => line.StartsWith("Range: bytes=", StringComparison.Ordinal));
        var from = range is null || IgnoresRanges ? 0 : int.Parse(range["Range: bytes=".Length..].TrimEnd('-'), CultureInfo.InvariantCulture);
        var length = isGraph && cuts.TryDequeue(out var cut) ? cut : bytes.Length - from;
        await SendAsync(stream, from > 0 ? "206 Partial Content" : "200 OK", bytes[from..],
            from > 0 ? $"Content-Range: bytes {from}-{bytes.Length - 1}/{bytes.Length}\r\n" : "", length);
    }

    private async Task SendAsync(NetworkStream stream, string status, byte[] body, string headers = "", int? length = null)
    {
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {status}\r\n{headers}Content-Length: {body.Length}\r\nConnection: close\r\n\r\n"),
            stop.Token);
        await stream.WriteAsync(body.AsMemory(0, length ?? body.Length), stop.Token);
    }

    private string Listing()
    {
        var siblings = new JsonArray();
        foreach (var (path, bytes) in Files)
        {
            var file = new JsonObject { ["rfilename"] = path, ["size"] = bytes.Length };
            if (path.Contains(".onnx", StringComparison.Ordinal))
                file["lfs"] = new JsonObject { ["sha256"] = Convert.ToHexStringLower(SHA256.HashData(bytes)), ["size"] = bytes.Length, ["pointerSize"] = 134 };
#pragma warning disable CA5350 // git's object ids are SHA-1
            else file["blobId"] = Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {bytes.Length}\0"), .. bytes]));
#pragma warning restore CA5350
            siblings.Add(file);
        }

        return new JsonObject { ["id"] = Name, ["sha"] = Commit, ["siblings"] = siblings }.ToJsonString();
    }
}
