using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>
/// A scripted model host on a raw TCP socket, which can fail in every way in which a real one does.
/// Calls (POST) are answered by the script; probes (GET) have answers of their own and are not counted.
/// </summary>
internal sealed class FakeBackend : IAsyncDisposable
{
    private readonly CancellationTokenSource stopping = new();
    private readonly ConcurrentDictionary<Socket, int> open = new();
    private readonly ConcurrentQueue<FakeRequest> calls = new();
    private readonly ConcurrentQueue<FakeRequest> probes = new();
    private readonly ConcurrentQueue<Func<FakeExchange, Task>> once = new();
    private readonly ConcurrentQueue<TaskCompletionSource<FakeExchange>> expected = new();
    private readonly ConcurrentDictionary<Task, bool> running = new();
    private Func<FakeExchange, Task> answer = static exchange =>
        exchange.JsonAsync("""{"error":{"message":"the test has no script for this call","type":"test","param":null,"code":null}}""", 500);
    private volatile Socket listener;
    private int connections;

    private FakeBackend(Socket listener)
    {
        this.listener = listener;
        Port = ((IPEndPoint)listener.LocalEndPoint!).Port;
    }

    public int Port { get; }

    public string Url => $"http://127.0.0.1:{Port}";

    /// <summary>Every call so far, in order of arrival, without probes.</summary>
    public IReadOnlyList<FakeRequest> Calls => [.. calls];

    /// <summary>Every GET and HEAD so far.</summary>
    public IReadOnlyList<FakeRequest> Probes => [.. probes];

    /// <summary>Connections that are open now.</summary>
    public int OpenConnections => open.Count;

    /// <summary>Connections accepted so far.</summary>
    public int Connections => Volatile.Read(ref connections);

    /// <summary>Answers to <c>GET</c> by path; other paths get 404.</summary>
    public ConcurrentDictionary<string, string> Pages { get; } = new(StringComparer.Ordinal) { ["/v1/models"] = """{"object":"list","data":[]}""" };

    /// <summary>Answers by path to a POST that is a question about the host and not a call (Ollama's <c>/api/show</c>).</summary>
    public ConcurrentDictionary<string, string> Questions { get; } = new(StringComparer.Ordinal);

    /// <summary>A GET of this path gets no answer.</summary>
    public string? SilentPage { get; set; }

    /// <summary>False: it does not remember calls and probes, for a test that makes very many.</summary>
    public bool Remembers { get; set; } = true;

    /// <summary>Accepts connections, as a frozen host's kernel does, but answers nothing.</summary>
    public bool Frozen { get; set; }

    public static FakeBackend Start() => Start(Bind(0));

    /// <summary>A host in another network; it cannot <see cref="Refuse"/>.</summary>
    public static async Task<FakeBackend> StartAsync(NetworkNamespace network) => Start(await network.ListenAsync());

    private static FakeBackend Start(Socket bound)
    {
        var backend = new FakeBackend(bound);
        backend.Listen();
        return backend;
    }

    /// <summary>Sets the script for all further calls.</summary>
    public void Answer(Func<FakeExchange, Task> script) => answer = script;

    /// <summary>Sets the script for the next call only; several are queued.</summary>
    public void Once(Func<FakeExchange, Task> script) => once.Enqueue(script);

    /// <summary>The next call that arrives after this.</summary>
    public Task<FakeExchange> NextCallAsync()
    {
        var arrival = new TaskCompletionSource<FakeExchange>(TaskCreationOptions.RunContinuationsAsynchronously);
        expected.Enqueue(arrival);
        return Patience.For(arrival.Task, "a call at the fake host");
    }

    /// <summary>Refuses connections from now on, but keeps the port.</summary>
    public void Refuse()
    {
        listener.Dispose();
        listener = Bind(Port);
        foreach (var socket in open.Keys)
            socket.Dispose();
    }

    /// <summary>Listens again after <see cref="Refuse"/>.</summary>
    public void Listen()
    {
        listener.Listen(512);
        Track(AcceptAsync(listener));
    }

    /// <summary>Closes the idle connections with FIN.</summary>
    public void DropConnections()
    {
        foreach (var socket in open.Keys)
            socket.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        listener.Dispose();
        foreach (var socket in open.Keys)
            socket.Dispose();
        await Patience.For(Task.WhenAll(running.Keys), "the fake host's end");
        stopping.Dispose();
    }

    private static Socket Bind(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
        return socket;
    }

    private void Track(Task task)
    {
        running[task] = true;
        _ = task.ContinueWith(ended => running.TryRemove(ended, out _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private async Task AcceptAsync(Socket accepting)
    {
        try
        {
            while (true)
            {
                var socket = await accepting.AcceptAsync(stopping.Token);
                socket.NoDelay = true;
                Track(ServeAsync(accepting, socket, Interlocked.Increment(ref connections)));
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Stopped, or told to refuse.
        }
    }

    private async Task ServeAsync(Socket accepting, Socket socket, int number)
    {
        open[socket] = number;
        try
        {
            // Accepted at the moment of the end or of a refusal, when the open connections may already have been closed.
            if (stopping.IsCancellationRequested || listener != accepting)
                return;

            var inbox = new Inbox(socket);
            while (await ReadAsync(inbox, socket, number) is { } request)
            {
                if (Frozen)
                {
                    await inbox.WatchAsync();
                    return;
                }

                if (request.Method is "GET" or "HEAD")
                {
                    if (Remembers) probes.Enqueue(request);
                    if (request.Target == SilentPage)
                    {
                        await inbox.WatchAsync();
                        return;
                    }

                    await ProbeAsync(new FakeExchange(request, socket, Task.CompletedTask));
                    continue;
                }

                if (Questions.TryGetValue(request.Target, out var known))
                {
                    await new FakeExchange(request, socket, Task.CompletedTask).JsonAsync(known);
                    continue;
                }

                if (Remembers) calls.Enqueue(request);
                // While the script runs, the inbox reads on only to detect that the other side leaves.
                var exchange = new FakeExchange(request, socket, inbox.WatchAsync());
                if (expected.TryDequeue(out var arrival))
                    arrival.TrySetResult(exchange);
                await (once.TryDequeue(out var script) ? script : answer)(exchange);
                if (!exchange.Finished)
                    return;
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException or IOException)
        {
            // The other side left, or the script closed the socket.
        }
        finally
        {
            open.TryRemove(socket, out _);
            socket.Dispose();
        }
    }

    private async Task ProbeAsync(FakeExchange exchange)
    {
        var path = exchange.Request.Target.Split('?')[0];
        if (Pages.TryGetValue(path, out var page))
            await exchange.WholeAsync(200, page.StartsWith('<') ? "text/html; charset=utf-8" : "application/json", page);
        else
            await exchange.JsonAsync("""{"error":"not here"}""", 404);
    }

    private static async Task<FakeRequest?> ReadAsync(Inbox inbox, Socket socket, int number)
    {
        if (await inbox.TakeThroughAsync("\r\n\r\n"u8.ToArray()) is not { } head)
            return null;

        var request = new FakeRequest(Encoding.Latin1.GetString(head), [], number);
        if (request.Header("expect") is not null)
            await socket.SendAsync("HTTP/1.1 100 Continue\r\n\r\n"u8.ToArray());
        if (request.Header("transfer-encoding") is { } coding && coding.Contains("chunked", StringComparison.OrdinalIgnoreCase))
        {
            var body = new List<byte>();
            while (true)
            {
                var line = await inbox.TakeThroughAsync("\r\n"u8.ToArray()) ?? throw new IOException("the request broke off");
                var size = int.Parse(Encoding.ASCII.GetString(line).Split(';')[0].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                var chunk = await inbox.TakeAsync(size + 2) ?? throw new IOException("the request broke off");
                if (size == 0)
                    return request with { Body = [.. body] };
                body.AddRange(chunk.AsSpan(0, size));
            }
        }

        var length = int.Parse(request.Header("content-length") ?? "0", CultureInfo.InvariantCulture);
        return request with { Body = await inbox.TakeAsync(length) ?? throw new IOException("the request broke off") };
    }

    /// <summary>Received bytes that have not been read yet.</summary>
    private sealed class Inbox(Socket socket)
    {
        private readonly byte[] buffer = new byte[64 * 1024];
        private readonly List<byte> held = [];
        private Task watching = Task.CompletedTask;

        /// <summary>Reads ahead; the task ends when the other side leaves.</summary>
        public Task WatchAsync()
        {
            var left = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            watching = AheadAsync();
            return left.Task;

            async Task AheadAsync()
            {
                if (!await FillAsync())
                    left.TrySetResult();
            }
        }

        public async Task<byte[]?> TakeThroughAsync(byte[] end)
        {
            await watching;
            while (true)
            {
                var at = CollectionsMarshal.AsSpan(held).IndexOf(end);
                if (at >= 0)
                    return Cut(at + end.Length);
                if (!await FillAsync())
                    return null;
            }
        }

        public async Task<byte[]?> TakeAsync(int count)
        {
            while (held.Count < count)
            {
                if (!await FillAsync())
                    return null;
            }

            return Cut(count);
        }

        private byte[] Cut(int count)
        {
            var taken = held.GetRange(0, count).ToArray();
            held.RemoveRange(0, count);
            return taken;
        }

        private async Task<bool> FillAsync()
        {
            try
            {
                var read = await socket.ReceiveAsync(buffer);
                held.AddRange(buffer.AsSpan(0, read));
                return read > 0;
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                return false;
            }
        }
    }
}
