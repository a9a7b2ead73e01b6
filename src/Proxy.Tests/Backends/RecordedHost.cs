using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Backends;

/// <summary>A host on its own port that answers each path with prepared bytes and any other path with 404, and records its requests.</summary>
internal sealed partial class RecordedHost : IAsyncDisposable
{
    private readonly Socket listener;
    private readonly X509Certificate2? certificate;
    private readonly CancellationTokenSource stop = new();
    private readonly Dictionary<string, byte[]> answers = [];
    private readonly List<string> asked = [];
    private readonly Task serving;

    /// <summary>Listens on loopback, or on a unix socket; with a certificate, it speaks TLS.</summary>
    public RecordedHost(string? unixPath = null, X509Certificate2? certificate = null)
    {
        this.certificate = certificate;
        listener = unixPath is null
            ? new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
            : new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(unixPath is null ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(unixPath));
        listener.Listen();
        serving = listener.ServeAsync(AnswerAsync, stop.Token);
    }

    /// <summary>The address in the form of the <c>listen</c> setting.</summary>
    public string Address => listener.LocalEndPoint is IPEndPoint ip ? ip.ToString() : $"unix:{listener.LocalEndPoint}";

    public string Url => $"{(certificate is null ? "http" : "https")}://{Address}";

    /// <summary>All requests so far, head and body.</summary>
    public IReadOnlyList<string> Asked
    {
        get { lock (asked) return [.. asked]; }
    }

    public IEnumerable<string> Paths => Asked.Select(head => head.Split(' ')[1]);

    public RecordedHost Recorded(string path, string recording)
    {
        // Latin-1 preserves every byte. The Content-Length is recomputed, because a path was shortened in some recordings.
        var text = Encoding.Latin1.GetString(File.ReadAllBytes(Path.Combine(Folder(), recording)));
        var body = text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
        answers[path] = Encoding.Latin1.GetBytes(LengthLine().Replace(text[..body], $"Content-Length: {text.Length - body}") + text[body..]);
        return this;
    }

    public RecordedHost Json(string path, string body, int status = 200)
    {
        answers[path] = Encoding.UTF8.GetBytes(
            $"HTTP/1.1 {status} It\r\nContent-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}");
        return this;
    }

    public RecordedHost Raw(string path, string bytes) => Raw(path, Encoding.UTF8.GetBytes(bytes));

    public RecordedHost Raw(string path, byte[] bytes)
    {
        answers[path] = bytes;
        return this;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await serving;
        listener.Dispose();
        certificate?.Dispose();
        stop.Dispose();
    }

    private async Task AnswerAsync(Socket client)
    {
        await using var socket = new NetworkStream(client, ownsSocket: true);
        await using Stream stream = certificate is null ? socket : new SslStream(socket);
        try
        {
            if (stream is SslStream tls)
                await tls.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, stop.Token);
            var buffer = new byte[16384];
            var length = 0;
            while (buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) < 0)
            {
                var read = await stream.ReadAsync(buffer.AsMemory(length), stop.Token);
                if (read == 0) return;
                length += read;
            }

            var end = buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8) + 4;
            var head = Encoding.ASCII.GetString(buffer, 0, end);
            var body = LengthLine().Match(head) is { Success: true } line
                ? int.Parse(line.Value["Content-Length: ".Length..], System.Globalization.CultureInfo.InvariantCulture)
                : 0;
            while (length < end + body && await stream.ReadAsync(buffer.AsMemory(length), stop.Token) is var more and > 0) length += more;
            head += Encoding.UTF8.GetString(buffer, end, length - end);
            lock (asked) asked.Add(head);
            var answer = answers.GetValueOrDefault(head.Split(' ')[1]) ?? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"u8.ToArray();
            // Announced with "Connection: close", so that the client does not send its next request over a connection that is about to close.
            var status = answer.AsSpan().IndexOf("\r\n"u8) + 2;
            await stream.WriteAsync(answer.AsSpan().StartsWith("HTTP/"u8) ? (byte[])[.. answer.AsSpan(0, status), .. "Connection: close\r\n"u8,
                .. answer.AsSpan(status)] : answer, stop.Token);
        }
        catch (Exception e) when (Connections.IsLeaving(e))
        {
            // The client has left, or the test has ended.
        }
    }

    [GeneratedRegex("^Content-Length: [0-9]+", RegexOptions.IgnoreCase | RegexOptions.Multiline)]
    private static partial Regex LengthLine();

    private static string Folder()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Proxy.sln"))) folder = folder.Parent;
        return Path.Combine(folder?.FullName ?? throw new InvalidOperationException("the repository is not above the tests"), "src", "Proxy.Tests",
            "Recordings");
    }
}
