using System.Net;
using System.Net.Sockets;
using System.Text;
using CsCheck;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Proxy.Tests.Harness;
using Proxy.Transport.Http1;

namespace Proxy.Tests.Transport;

/// <summary>
/// Checks that a head which our reader takes as plain means the same to Kestrel's parser, which stands for the servers before and behind the proxy. Heads
/// that our reader does not take are read by Kestrel anyway.
/// </summary>
public sealed class RandomHeadTests : IAsyncLifetime
{
    private const string Noise = ":[]0123456789abcfgzXYZ.-_ \t\r\n%/@,;\"'()\0\u007f\u00e9";

    private sealed record Head(string Text, bool IsPlain);

    private static readonly string[] PlainNames = ["Accept", "Authorization", "content-type", "X-A", "User-Agent", "Cookie"];

    private static readonly Gen<string> Port = Gen.Frequency((1, Gen.Const("")), (1, Gen.Int[0, 70_000].Select(port => $":{port}")));

    private static readonly Gen<string> PlainHost =
        Gen.Select(Gen.OneOf("localhost", "127.0.0.1", "a.example", "gpu-box", "A", "[::1]", "[2001:db8::7]", "a_b"), Port, (name, port) => name + port);

    private static readonly Gen<string> PlainFields =
        Gen.Select(Gen.Shuffle(PlainNames, 0, 6), Gen.OneOf("", "a", "*/*", "a, b", "  5 ", "\"x\"").Array[6], Gen.OneOf(": ", ":", ":   "),
        (names, values, colon) => string.Concat(names.Select((name, index) => $"{name}{colon}{values[index]}\r\n")));

    private static readonly Gen<Head> Plain =
        Gen.Select(Gen.Bool, Gen.OneOf("/", "/v1/models", "/v1/chat/completions", "/a/", "/a:b@c", "/x_y-z"), PlainHost, PlainFields, Gen.Int[0, 9],
            Gen.OneOf("", "Connection: keep-alive\r\n"),
            (posts, path, host, fields, length, connection) => new Head(
                $"{(posts ? "POST" : "GET")} {path} HTTP/1.1\r\nHost: {host}\r\n{connection}{(posts ? $"Content-Length: {length}\r\n" : "")}{fields}\r\n",
                IsPlain: true));

    private static readonly Gen<string> AnyHost =
        Gen.Select(Gen.OneOf("localhost", "a.example", "[::1]", "::1", "a.", "[::1", "[1.2.3.4]", ""), Port, (name, port) => name + port).Disturbed(Noise);

    private static readonly Gen<string> AnyField = Gen.Select(
        Gen.OneOf(
            "Accept", "accept", "Content-Type", "X-A", "x-a", "Connection", "Content-Length", "Transfer-Encoding", "Host", "Expect", "Cookie", "X(A)", ""),
        Gen.OneOf("", "a", "*/*", "close", "keep-alive", "chunked", "5", "+5", " 5 ", "100-continue", "a, b", "a\tb", "\"é\"", "\0"),
        (name, value) => $"{name}: {value}").Disturbed(Noise);

    private static readonly Gen<string> Any = Gen.Select(
        Gen.OneOf("GET", "POST", "GET", "POST", "PUT", "get"),
        Gen.OneOf("/v1/chat", "/v1/chat", "/", "/a/", "/a//b", "/a/../b", "/a/./b", "/.a", "/a%2fb", "/a?b", "*", "http://x/a", "/~"),
        Gen.OneOf("Host: ", "hOST:"),
        AnyHost,
        Gen.Int[0, 9],
        AnyField.Array[0, 3],
        (method, path, field, host, length, fields) =>
            $"{method} {path} HTTP/1.1\r\n{field}{host}\r\n{(method == "POST" ? $"Content-Length: {length}\r\n" : "")}"
            + $"{string.Concat(fields.Select(one => one + "\r\n"))}\r\n");

    private static readonly Gen<Head> Other = Gen.Frequency((1, Plain.Select(head => head.Text).Disturbed(Noise)), (1, Any.Disturbed(Noise)))
        .Select(text => new Head(text, IsPlain: false));

    /// <summary>
    /// Consecutive heads of one connection, because the reader remembers lines: either any heads, or the first head again with one line replaced by another of
    /// its own lines or by any line.
    /// </summary>
    private static readonly Gen<Head[]> Heads = Gen.OneOf(
        Gen.OneOf(Plain, Other).Array[1, 4],
        Plain.SelectMany(first => Again(first.Text).Array[1, 3].Select(more => (Head[])[first, .. more])));

    private static Gen<Head> Again(string head)
    {
        var lines = head.Split("\r\n")[..^2];
        return Gen.Select(Gen.Int[1, lines.Length - 1], Gen.OneOf(Gen.Int[1, lines.Length - 1].Select(index => lines[index]), AnyField), Gen.Bool,
            (at, line, isMore) =>
            new Head(string.Join("\r\n", [.. lines[..at], line, .. lines[(isMore ? at : at + 1)..], "", ""]), IsPlain: false));
    }

    private ListenOptions? listening;
    private WebApplication app = null!;
    private Peer? server;

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

    public async ValueTask DisposeAsync()
    {
        server?.Dispose();
        await app.DisposeAsync();
    }

    [Fact]
    public async Task Heads_Are_read_as_the_server_reads_them_or_left_to_it()
    {
        var plain = 0;
        static string Print((Head[] Heads, int Cut) input) =>
            $"{string.Join(" then ", input.Heads.Select(head => Properties.Shown(head.Text)))} cut at {input.Cut}";

        await Gen.Select(Heads, Gen.Int[0, 1000]).HoldsAsync(1500, Print, async input =>
        {
            var (heads, cut) = input;
            var reader = new RequestReader();
            foreach (var head in heads)
            {
                var bytes = Encoding.Latin1.GetBytes(head.Text);
                var isTaken = reader.TryRead(bytes, out var length);
                Assert.True(isTaken || !head.IsPlain, "a plain head is not taken");
                if (!isTaken || reader.BodyLength > 1000) continue;

                plain++;
                await AgreesAsync(reader, head.Text[..length]);
                Assert.False(new RequestReader().TryRead(bytes.AsSpan(0, cut % length), out _), "a part of a head is taken for a head");
            }
        });

        Assert.True(plain > 500, $"only {plain} heads were plain");
    }

    private async Task AgreesAsync(RequestReader reader, string head)
    {
        server ??= await ConnectAsync();
        await server.SendAsync(head + new string('x', (int)reader.BodyLength));
        var (status, text) = await server.ReadAnswerAsync();
        if (status != 200)
        {
            server.Dispose(); // it closes what it refuses
            server = null;
        }

        Assert.True(status == 200, $"Kestrel answers {status}");
        Assert.Equal(Told(reader.Method, reader.Path, reader.Fields.Select(field => (field.Key, field.Value.ToString()))), text);
    }

    private static string Told(string method, string path, IEnumerable<(string Name, string Value)> fields) =>
        string.Join('\n', fields.Select(field => $"{field.Name.ToLowerInvariant()}={field.Value}").Order(StringComparer.Ordinal).Prepend($"{method} {path}"));

    private async Task<Peer> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(listening!.IPEndPoint!, TestContext.Current.CancellationToken);
        return new(socket, new NetworkStream(socket, ownsSocket: true));
    }
}
