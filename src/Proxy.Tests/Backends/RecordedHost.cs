using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Proxy.Tests.Backends;

/// <summary>A host that answers each path with the bytes it was given, on a port of its own, and remembers what it was asked. Anything else is 404.</summary>
internal sealed partial class RecordedHost : IAsyncDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stop = new();
    private readonly Dictionary<string, byte[]> answers = [];
    private readonly List<string> asked = [];
    private readonly Task serving;

    public RecordedHost()
    {
        listener.Start();
        serving = ServeAsync();
    }

    public string Url => $"http://{listener.LocalEndpoint}";

    /// <summary>The heads of all requests so far.</summary>
    public IReadOnlyList<string> Asked
    {
        get { lock (asked) return [.. asked]; }
    }

    public IEnumerable<string> Paths => Asked.Select(head => head.Split(' ')[1]);

    public RecordedHost Recorded(string path, string recording)
    {
        // Latin-1 keeps every byte. The length is written anew: a path was shortened in some recordings.
        var text = Encoding.Latin1.GetString(File.ReadAllBytes(Path.Combine(Folder(), recording)));
        var body = text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
        answers[path] = Encoding.Latin1.GetBytes(LengthLine().Replace(text[..body], $"Content-Length: {text.Length - body}") + text[body..]);
        return this;
    }

    public RecordedHost Json(string path, string body, int status = 200)
    {
        answers[path] = Encoding.UTF8.GetBytes($"HTTP/1.1 {status} It\r\nContent-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}");
        return this;
    }

    public RecordedHost Raw(string path, string bytes)
    {
        answers[path] = Encoding.UTF8.GetBytes(bytes);
        return this;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Stop();
        await serving;
        stop.Dispose();
    }

    private async Task ServeAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true) connections.Add(AnswerAsync(await listener.AcceptTcpClientAsync(stop.Token)));
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using (client)
            try
            {
                var buffer = new byte[16384];
                var length = 0;
                while (buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
                {
                    var read = await client.GetStream().ReadAsync(buffer.AsMemory(length), stop.Token);
                    if (read == 0) return;
                    length += read;
                }

                var head = Encoding.ASCII.GetString(buffer, 0, length);
                lock (asked) asked.Add(head);
                var answer = answers.GetValueOrDefault(head.Split(' ')[1]) ?? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"u8.ToArray();
                await client.GetStream().WriteAsync(answer, stop.Token);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException)
            {
                // The asker left, or the test is over.
            }
    }

    [GeneratedRegex("^Content-Length: [0-9]+", RegexOptions.IgnoreCase | RegexOptions.Multiline)]
    private static partial Regex LengthLine();

    private static string Folder()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Proxy.sln"))) folder = folder.Parent;
        return Path.Combine(folder?.FullName ?? throw new InvalidOperationException("the repository is not above the tests"), "src", "Proxy.Tests", "Recordings");
    }
}
