using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Proxy.Transport.Http1;

namespace Proxy.Tests.Transport;

/// <summary>
/// Kestrel's parser must read every head that the loops' reader accepts as plain in the same way, because servers before or behind the proxy use a parser like
/// Kestrel's.
/// </summary>
public sealed class RandomHeadTests : IAsyncLifetime
{
    private static readonly string[] Hosts = ["localhost", "127.0.0.1", "a.example", "gpu-box", "A", "[::1]", "[2001:db8::7]", "::1", "a_b", "a."];
    private static readonly string[] Names = ["Accept", "accept", "Authorization", "Content-Type", "X-A", "x-a", "Connection", "Content-Length",
        "Transfer-Encoding", "Host", "Expect", "Cookie", "X(A)", ""];
    private static readonly string[] Values =
        ["", "a", "*/*", "close", "keep-alive", "chunked", "5", "+5", " 5 ", "100-continue", "a, b", "a\tb", "\"é\"", "\0"];
    private static readonly string[] Paths =
        ["/", "/v1/models", "/a/", "/a//b", "/a/../b", "/a/./b", "/.a", "/a%2fb", "/a?b", "*", "http://x/a", "/a:b@c", "/~"];
    private const string Noise = ":[]0123456789abcfgzXYZ.-_ \t\r\n%/@,;\"'()\0\u007f\u00e9";

    private ListenOptions? listening;
    private WebApplication app = null!;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, options => listening = options));
        app = builder.Build();
        app.Run(context => context.Response.WriteAsync(Told(context.Request.Method, context.Request.Path.Value!,
            context.Request.Headers.SelectMany(field => field.Value.Select(value => (field.Key, value ?? ""))))));
        await app.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync() => await app.DisposeAsync();

    [Fact]
    public async Task Random_heads_Are_read_as_the_server_reads_them_or_left_to_it()
    {
        var random = new Random(20261130);
        var reader = new RequestReader(); // as on one connection: the reader remembers earlier heads
        Peer? server = null;
        var plain = 0;
        for (var i = 0; i < 6000; i++)
        {
            var head = Head(random);
            if (!reader.TryRead(Encoding.Latin1.GetBytes(head), out var length) || reader.BodyLength > 1000) continue;

            plain++;
            server ??= await ConnectAsync();
            await server.SendAsync(head[..length] + new string('x', (int)reader.BodyLength));
            var (status, text) = await server.ReadAnswerAsync();
            Assert.True(status == 200, $"head {i}, which the server refuses with {status}: {head}");
            Assert.Equal(Told(reader.Method, reader.Path, reader.Fields.Select(field => (field.Key, field.Value.ToString()))), text);
        }

        server?.Dispose();
        Assert.InRange(plain, 500, 6000);
    }

    private static string Told(string method, string path, IEnumerable<(string Name, string Value)> fields) =>
        string.Join('\n', fields.Select(field => $"{field.Name.ToLowerInvariant()}={field.Value}").Order(StringComparer.Ordinal).Prepend($"{method} {path}"));

    private static string Head(Random random)
    {
        var method = Pick(random, ["GET", "POST", "GET", "POST", "PUT", "get"]);
        var head = new StringBuilder($"{method} {(random.Next(3) > 0 ? "/v1/chat" : Pick(random, Paths))} HTTP/1.1\r\n");
        var host = Pick(random, Hosts) + (random.Next(2) == 0 ? $":{random.Next(70000)}" : "");
        for (var i = random.Next(4); i > 1; i--) host = Disturbed(random, host);
        head.Append(random.Next(5) == 0 ? "hOST:" : "Host: ").Append(host).Append("\r\n");
        if (method == "POST") head.Append($"Content-Length: {random.Next(9)}\r\n");
        for (var i = random.Next(4); i > 0; i--)
        {
            head.Append(random.Next(3) == 0 ? Disturbed(random, $"{Pick(random, Names)}: {Pick(random, Values)}") : $"x-{i}: {Pick(random, Values)}")
                .Append("\r\n");
        }

        head.Append("\r\n");
        var text = head.ToString();
        return random.Next(8) == 0 ? Disturbed(random, text) : text;
    }

    private static string Disturbed(Random random, string text)
    {
        var at = random.Next(text.Length + 1);
        var noise = Noise[random.Next(Noise.Length)].ToString();
        return random.Next(3) switch
        {
            0 => text.Insert(at, noise),
            1 when at < text.Length => text.Remove(at, 1),
            _ when at < text.Length => text.Remove(at, 1).Insert(at, noise),
            _ => text + noise,
        };
    }

    private static string Pick(Random random, string[] from) => from[random.Next(from.Length)];

    private async Task<Peer> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(listening!.IPEndPoint!, TestContext.Current.CancellationToken);
        return new(socket, new NetworkStream(socket, ownsSocket: true));
    }
}
