using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Proxy.Transport;
using Proxy.Transport.Http1;
using Proxy.Transport.Loops;

namespace Proxy.Tests.Transport;

public class LoopTransportTests : IAsyncLifetime
{
    private readonly FakeTimeProvider time = new();
    private readonly CoarseTicker ticker;
    private readonly TaskCompletionSource<CancellationToken> entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource left = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource go = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<IDisposable> owned = [];
    private EventLoops loops = null!;
    private WebApplication app = null!;
    private Socket inherited = null!;
    private string unixPath = "";
    private ListenOptions v4 = null!;
    private ListenOptions v6 = null!;

    private int Port => v4.IPEndPoint!.Port;

    /// <summary>Whether plain requests are served before Kestrel sees them.</summary>
    protected virtual bool ServesPlain => false;

    public LoopTransportTests() => ticker = new(time);

    public async ValueTask InitializeAsync()
    {
        loops = new(2, ticker, NullLogger.Instance);
        inherited = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        inherited.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        unixPath = Path.Combine(Path.GetTempPath(), $"loop-{Guid.NewGuid():n}.sock");
        app = Build(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, options => v4 = options);
            kestrel.Listen(IPAddress.IPv6Loopback, 0, options => v6 = options);
            kestrel.ListenUnixSocket(unixPath);
            kestrel.ListenHandle((ulong)inherited.SafeHandle.DangerousGetHandle());
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        go.TrySetResult();
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await app.StopAsync(now.Token);
        await app.DisposeAsync();
        foreach (var one in owned) one.Dispose();
        inherited.SafeHandle.SetHandleAsInvalid(); // the server closed it
        loops.Dispose();
        ticker.Dispose();
    }

    [Fact]
    public async Task Requests_on_one_connection_Are_answered_one_after_the_other()
    {
        var client = await ConnectAsync();
        for (var i = 0; i < 20; i++)
        {
            await client.SendAsync($"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {i}\r\n\r\n{new string('x', i)}");
            Assert.Equal((200, $"{i}"), await client.ReadAnswerAsync());
        }
    }

    [Fact]
    public async Task Requests_sent_at_once_Are_all_answered()
    {
        var client = await ConnectAsync();

        await client.SendAsync(
            string.Concat(Enumerable.Range(0, 50).Select(i => $"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {i}\r\n\r\n{new string('x', i)}")));

        for (var i = 0; i < 50; i++) Assert.Equal((200, $"{i}"), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task Requests_sent_at_once_Are_answered_in_order_however_and_wherever_the_answers_are_written()
    {
        (string Path, string Answer)[] kinds = [("last", "last"), ("last", "last"), ("last-elsewhere", "last"), ("unflushed", "unflushed"),
            ("stream", "first second third fourth"), ("length", "0"), ("last-elsewhere", "last")];
        var client = await ConnectAsync();

        await client.SendAsync(
            string.Concat(Enumerable.Range(0, 70).Select(i => $"POST /{kinds[i % kinds.Length].Path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")));

        for (var i = 0; i < 70; i++) Assert.Equal((200, kinds[i % kinds.Length].Answer), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task Request_that_comes_byte_by_byte_Is_answered()
    {
        var client = await ConnectAsync();

        foreach (var one in "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        {
            await client.SendAsync($"{one}");
        }

        Assert.Equal((200, "5"), await client.ReadAnswerAsync());
    }

    [Theory]
    [InlineData("/length")]
    [InlineData("/length-elsewhere")]
    public async Task Body_of_8_MB_Arrives(string path)
    {
        var client = await ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {8 << 20}\r\nExpect: 100-continue\r\n\r\n");
        Assert.Equal((100, ""), await client.ReadAnswerAsync());

        await client.SendAsync(new string('x', 8 << 20));

        Assert.Equal((200, $"{8 << 20}"), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task Client_that_does_not_read_Holds_the_server_back_and_loses_nothing()
    {
        var client = await ConnectAsync(isSlow: true);
        await client.SendAsync("GET /counts HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;

        var (status, text) = await client.ReadAnswerAsync();

        Assert.Equal(200, status);
        Assert.Equal(Counts, text);
        Assert.True(waited, "no write had to wait");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_that_leaves_Is_noticed_while_nobody_reads_or_writes(bool reset)
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;

        if (reset) client.Reset();
        else client.Dispose();

        await left.Task;
    }

    [Fact]
    public async Task Client_that_leaves_while_a_write_waits_Is_noticed()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;

        client.Reset();

        await left.Task;
    }

    [Fact]
    public async Task Client_that_takes_nothing_for_five_minutes_Is_let_go()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;

        while (!left.Task.IsCompleted)
        {
            time.Advance(TimeSpan.FromMinutes(4));
            await Task.Yield();
        }

        await client.WaitForGoneAsync();
    }

    [Fact]
    public async Task Bad_request_Is_answered_400_and_closed()
    {
        var client = await ConnectAsync();

        await client.SendAsync("nonsense\r\n\r\n");

        Assert.Equal(400, (await client.ReadAnswerAsync()).Status);
        await client.WaitForGoneAsync();
    }

    [Fact]
    public async Task Header_with_a_tab_in_it_Goes_out_as_it_is()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /tab HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.Contains("\r\nx-note: a\tb c\r\n", Encoding.ASCII.GetString(await client.ThroughAsync("\r\n\r\n")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_wants_to_close_Connection_is_closed_after_the_answer()
    {
        var client = await ConnectAsync();

        await client.SendAsync("GET /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

        Assert.Equal((200, "0"), await client.ReadAnswerAsync());
        await client.WaitForGoneAsync();
    }

    [Fact]
    public async Task Server_aborts_Client_sees_it()
    {
        var client = await ConnectAsync();

        await client.SendAsync("GET /abort HTTP/1.1\r\nHost: x\r\n\r\n");

        await client.WaitForGoneAsync();
    }

    [Fact]
    public async Task Addresses_are_known()
    {
        var client = await ConnectAsync();

        await client.SendAsync("GET /addresses?all HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.Equal((200, $"{client.LocalEndPoint} {client.RemoteEndPoint}"), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task IPv6_Is_served()
    {
        var client = await ConnectAsync(new IPEndPoint(IPAddress.IPv6Loopback, v6.IPEndPoint!.Port));

        await client.SendAsync("GET /addresses?all HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.Equal((200, $"{client.LocalEndPoint} {client.RemoteEndPoint}"), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task Unix_socket_Is_served_and_its_file_removed_at_the_end()
    {
        var client = await ConnectAsync(new UnixDomainSocketEndPoint(unixPath));

        await client.SendAsync("GET /length HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.Equal((200, "0"), await client.ReadAnswerAsync());
        client.Dispose();
        await app.StopAsync(TestContext.Current.CancellationToken);
        Assert.False(File.Exists(unixPath));
    }

    [Fact]
    public async Task Inherited_descriptor_Is_served()
    {
        var client = await ConnectAsync(inherited.LocalEndPoint!);

        await client.SendAsync("GET /length HTTP/1.1\r\nHost: x\r\n\r\n");

        Assert.Equal((200, "0"), await client.ReadAnswerAsync());
    }

    [Fact]
    public async Task Port_that_is_taken_Is_said_to_be_so()
    {
        await using var second = Build(kestrel => kestrel.Listen(IPAddress.Loopback, Port));

        var failure = await Assert.ThrowsAsync<IOException>(() => second.StartAsync(TestContext.Current.CancellationToken));

        Assert.IsType<AddressInUseException>(failure.InnerException);
    }

    [Fact]
    public async Task Server_stops_Running_answer_ends_whole_and_nobody_new_is_taken()
    {
        var client = await ConnectAsync();
        await client.SendAsync("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;
        var port = Port;

        var stopping = app.StopAsync(TestContext.Current.CancellationToken);
        await WaitUntilRefusedAsync(port);
        go.SetResult();

        Assert.Equal((200, "went"), await client.ReadAnswerAsync());
        client.Dispose();
        await stopping;
    }

    [Fact]
    public async Task Many_connections_Live_on_all_loops()
    {
        var clients = new List<Peer>();
        for (var i = 0; i < 64; i++) clients.Add(await ConnectAsync());

        await Task.WhenAll(clients.Select(async client =>
        {
            await client.SendAsync("GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
            Assert.Equal((200, "0"), await client.ReadAnswerAsync());
        }));

        Assert.All(loops.All, loop => Assert.InRange(loop.Connections, 20, 44));
    }

    [Theory]
    [InlineData("/stream", "HTTP/1.1", true)]
    [InlineData("/stream", "HTTP/1.0", false)]
    [InlineData("/sized-stream", "HTTP/1.1", false)]
    public async Task Stream_Is_sent_past_the_server_where_its_framing_allows(string path, string version, bool isDirect)
    {
        var client = await ConnectAsync();

        await client.SendAsync($"GET {path} {version}\r\nHost: x\r\n\r\n");
        var (status, text) = await client.ReadAnswerAsync();

        Assert.Equal((200, "first second third fourth"), (status, text));
        Assert.Equal(isDirect && !ServesPlain, wasDirect);
    }

    [Fact]
    public async Task Stream_sent_past_the_server_to_a_slow_client_Loses_nothing()
    {
        var client = await ConnectAsync(isSlow: true);
        await client.SendAsync("GET /direct-counts HTTP/1.1\r\nHost: x\r\n\r\n");
        await entered.Task;

        Assert.Equal((200, Counts), await client.ReadAnswerAsync());
        Assert.True(waited, "no write had to wait");
    }

    // More than the kernel buffers for a client that does not read.
    private static readonly string Counts = string.Concat(Enumerable.Range(0, 2_000_000).Select(i => $"{i} "));

    private bool waited;
    private bool? wasDirect;

    private async Task HandleAsync(HttpContext context)
    {
        var response = context.Response;
        switch (context.Request.Path.Value)
        {
            case "/length" or "/length-elsewhere":
                var length = 0L;
                while (true)
                {
                    var read = await context.Request.BodyReader.ReadAsync();
                    length += read.Buffer.Length;
                    context.Request.BodyReader.AdvanceTo(read.Buffer.End);
                    if (read.IsCompleted) break;
                    if (context.Request.Path == "/length-elsewhere") await Task.Yield();
                }

                await response.WriteAsync($"{length}");
                break;
            case "/counts":
                await CountAsync(response.BodyWriter);
                break;
            case "/direct-counts":
                await CountAsync(RelayOutput.Of(context));
                break;
            case "/stream" or "/sized-stream":
                if (context.Request.Path == "/sized-stream") response.ContentLength = 25;
                var writer = RelayOutput.Of(context);
                await writer.WriteAsync("first "u8.ToArray());
                await writer.WriteAsync("second "u8.ToArray());
                "third "u8.CopyTo(writer.GetSpan(6));
                writer.Advance(6);
                wasDirect = writer is DirectWriter { HasSentDirectly: true };
                await writer.WriteAsync("fourth"u8.ToArray());
                break;
            case "/hang":
                entered.SetResult(context.RequestAborted);
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                left.SetResult();
                break;
            case "/silent" or "/late" or "/fault":
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (context.Request.Path == "/fault") throw new InvalidOperationException("a handler that its client has left");
                if (context.Request.Path == "/late") await response.WriteAsync("late");
                break;
            case "/flood":
                while (!(await response.BodyWriter.WriteAsync(new byte[64 * 1024])).IsCompleted && !context.RequestAborted.IsCancellationRequested)
                {
                    entered.TrySetResult(default);
                }

                left.SetResult();
                break;
            case "/wait":
                entered.SetResult(default);
                await go.Task;
                await response.WriteAsync("went");
                break;
            case "/abort":
                context.Abort();
                break;
            case "/who":
                await response.WriteAsync(context.GetType().Name == nameof(Http1Context) ? "plain" : "server");
                break;
            case "/unread":
                response.StatusCode = StatusCodes.Status413PayloadTooLarge;
                await response.WriteAsync("too large");
                break;
            case "/short":
                response.ContentLength = 10;
                await response.WriteAsync("short");
                break;
            case "/long":
                response.ContentLength = 2;
                await response.WriteAsync("long");
                break;
            case "/nothing":
                response.StatusCode = StatusCodes.Status204NoContent;
                break;
            case "/last" or "/last-elsewhere":
                if (context.Request.Path == "/last-elsewhere") await Task.Yield();
                response.ContentLength = 4;
                await response.BodyWriter.WriteAsync("last"u8.ToArray());
                break;
            case "/unflushed":
                "unflushed"u8.CopyTo(response.BodyWriter.GetSpan(9));
                response.BodyWriter.Advance(9);
                break;
            case "/header":
                response.Headers["x-injected"] = "a\r\nb: c";
                break;
            case "/tab":
                response.Headers["x-note"] = "a\tb c";
                break;
            case "/echo-headers":
                await response.WriteAsync(string.Join('|', context.Request.Headers.Select(h => $"{h.Key}={h.Value}")));
                break;
            case "/addresses":
                var connection = context.Connection;
                await response.WriteAsync($"{new IPEndPoint(connection.RemoteIpAddress!, connection.RemotePort)} "
                    + $"{new IPEndPoint(connection.LocalIpAddress!, connection.LocalPort)}");
                break;
        }
    }

    private async Task CountAsync(System.IO.Pipelines.PipeWriter writer)
    {
        var bytes = Encoding.ASCII.GetBytes(Counts);
        for (var at = 0; at < bytes.Length; at += 10_007)
        {
            var write = writer.WriteAsync(bytes.AsMemory(at, Math.Min(10_007, bytes.Length - at)));
            if (!write.IsCompleted)
            {
                waited = true;
                entered.TrySetResult(default); // now the client begins to read
            }

            await write;
        }
    }

    private WebApplication Build(Action<KestrelServerOptions> configure)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<IConnectionListenerFactory>(new LoopTransport(loops, NullLogger.Instance));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinResponseDataRate = null; // the transport's own limit is under test
            if (ServesPlain)
            {
                kestrel.ConfigureEndpointDefaults(
                    endpoint => endpoint.Use(server => Http1Connection.Use(server, HandleAsync, new HttpDate(TimeProvider.System), NullLogger.Instance)));
            }

            configure(kestrel);
        });
        var built = builder.Build();
        built.Run(HandleAsync);
        return built;
    }

    private protected async Task<Peer> ConnectAsync(EndPoint? address = null, bool isSlow = false)
    {
        address ??= new IPEndPoint(IPAddress.Loopback, Port);
        var isUnix = address is UnixDomainSocketEndPoint;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        if (isSlow) socket.ReceiveBufferSize = 16 * 1024;
        await socket.ConnectAsync(address, TestContext.Current.CancellationToken);
        var peer = new Peer(socket, new NetworkStream(socket, ownsSocket: true), sendsAtOnce: !isUnix);
        owned.Add(peer);
        return peer;
    }

    private protected Task StopAsync() => app.StopAsync(TestContext.Current.CancellationToken);

    private static async Task WaitUntilRefusedAsync(int port)
    {
        while (true)
        {
            using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
            }
            catch (SocketException)
            {
                return;
            }
        }
    }
}
