using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>For whom a process asks one that handed over to it. That process trusts it: its admin socket is for its own user alone.</summary>
/// <param name="Caller">The caller's name.</param>
/// <param name="Peer">The address of the caller's machine; null: it came over a unix socket.</param>
/// <param name="Local">The listener can be reached from this machine only.</param>
/// <param name="Joins">The call may be answered only with what an equal call generates, or has generated.</param>
internal sealed record ForwardedFor(string Caller, string? Peer, bool Local, bool Joins);

[JsonSerializable(typeof(ForwardedFor))]
internal sealed partial class ForwardingJson : JsonSerializerContext;

/// <summary>
/// Asks the processes that handed over to this one for answers that they still generate or keep, and copies what they say. The request goes over their admin
/// sockets as it came, so the answer is the one that its client would have had without the handoff.
/// </summary>
/// <param name="sockets">The paths of their admin sockets, the newest first.</param>
internal sealed class Forwarding(Func<IReadOnlyList<string>> sockets) : IDisposable
{
    public const string Root = "/forwarded/";

    public static readonly Forwarding None = new(static () => []);

    /// <summary>Headers that belong to a connection, to a body that was decoded, or to what this process has checked already.</summary>
    private static readonly HashSet<string> NotForwarded = new(StringComparer.OrdinalIgnoreCase)
    {
        "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "content-encoding", "expect", "authorization", "x-api-key",
        "api-key", "proxy-connection",
    };

    private static readonly HashSet<string> NotCopied = new(StringComparer.OrdinalIgnoreCase)
    {
        "connection", "keep-alive", "transfer-encoding", "content-length", "date", "server",
    };

    private static readonly HttpRequestOptionsKey<string> Socket = new("socket");

    private readonly HttpMessageInvoker client = new(new SocketsHttpHandler
    {
        UseProxy = false, AllowAutoRedirect = false, UseCookies = false, AutomaticDecompression = DecompressionMethods.None,
        ConnectCallback = static async (connecting, cancellation) =>
        {
            var socket = new System.Net.Sockets.Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(PathOf(connecting.InitialRequestMessage)), cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    });

    /// <summary>Whether there is any.</summary>
    public bool IsNeeded => sockets().Count > 0;

    /// <summary>Has the call answered by the first process that knows what it asks for. False: none does.</summary>
    /// <param name="scope">The call. Its caller has been identified.</param>
    /// <param name="body">The request's body, decoded.</param>
    /// <param name="joins">The call may be answered only with what an equal call generates.</param>
    public async ValueTask<bool> AnswerAsync(CallScope scope, ReadOnlyMemory<byte> body = default, bool joins = false)
    {
        foreach (var socket in sockets())
        {
            if (await AskAsync(socket, scope, body, joins) is not { } response) continue;
            using (response) await CopyAsync(response, scope);
            return true;
        }

        return false;
    }

    /// <summary>What each of them answers, as a whole, unless it knows nothing.</summary>
    public async ValueTask<IReadOnlyList<byte[]>> AskAllAsync(CallScope scope, ReadOnlyMemory<byte> body = default)
    {
        var answers = new List<byte[]>();
        foreach (var socket in sockets())
        {
            using var response = await AskAsync(socket, scope, body, joins: false);
            if (response is { IsSuccessStatusCode: true }) answers.Add(await response.Content.ReadAsByteArrayAsync(scope.Cancellation));
        }

        return answers;
    }

    /// <summary>Posts something to a process's admin socket. False: it did not take it.</summary>
    public async Task<bool> PostAsync(string socket, string path, ReadOnlyMemory<byte> body, CancellationToken cancellation)
    {
        using var message = new HttpRequestMessage(HttpMethod.Post, $"http://{NameOf(socket)}{path}") { Content = new ReadOnlyMemoryContent(body) };
        message.Options.Set(Socket, socket);
        try
        {
            using var response = await client.SendAsync(message, cancellation);
            return response.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    public void Dispose() => client.Dispose();

    /// <summary>Serves a request of the process that took over, as that process's own endpoints would. Makes a call of a client of it.</summary>
    /// <param name="context">A request of the admin socket.</param>
    /// <param name="gate">Knows the keys.</param>
    /// <param name="endpoints">Answer it.</param>
    public static Task ServeAsync(HttpContext context, ApiKeyGate gate, Answer endpoints)
    {
        var path = context.Request.Path.Value!;
        var slash = path.IndexOf('/', Root.Length);
        if (slash < 0 || Read(path[Root.Length..slash]) is not { } whom)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            return Task.CompletedTask;
        }

        context.Request.Path = path[slash..];
        var peer = IPAddress.TryParse(whom.Peer, out var address) ? new IPEndPoint(address, 0) : null;
        context.Features.Set(new ConnectionFeature(whom.Local, admin: false, peer) { Known = gate.Named(whom.Caller), IsForwarded = true, Joins = whom.Joins });
        return endpoints(context);
    }

    /// <summary>Null: it does not know what the call asks for, or it has ended.</summary>
    private async ValueTask<HttpResponseMessage?> AskAsync(string socket, CallScope scope, ReadOnlyMemory<byte> body, bool joins)
    {
        var request = scope.Context.Request;
        var connection = ConnectionFeature.Of(scope.Context);
        var whom = new ForwardedFor(scope.Caller.Name, connection?.Peer, connection is { Local: true }, joins);
        var prefix = scope.IsOperators ? "" : Root + Hex(JsonSerializer.SerializeToUtf8Bytes(whom, ForwardingJson.Default.ForwardedFor));
        using var message = new HttpRequestMessage(
            new(request.Method), $"http://{NameOf(socket)}{prefix}{request.Path.ToUriComponent()}{request.QueryString}");
        message.Options.Set(Socket, socket);
        if (!body.IsEmpty || HttpMethods.IsPost(request.Method)) message.Content = new ReadOnlyMemoryContent(body);
        foreach (var (name, values) in request.Headers)
        {
            if (NotForwarded.Contains(name)) continue;
            if (!message.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values))
                message.Content?.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)values);
        }

        try
        {
            var response = await client.SendAsync(message, scope.Cancellation);
            if (response.StatusCode is not HttpStatusCode.NotFound) return response;
            response.Dispose();
            return null;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private static async ValueTask CopyAsync(HttpResponseMessage from, CallScope scope)
    {
        var response = scope.Context.Response;
        response.StatusCode = (int)from.StatusCode;
        foreach (var (name, values) in from.Headers.Concat(from.Content.Headers))
        {
            if (!NotCopied.Contains(name) && !response.Headers.ContainsKey(name)) response.Headers[name] = values.ToArray();
        }

        if (from.Content.Headers.ContentLength is { } length) response.ContentLength = length;
        scope.Record.Route = "handoff";
        try
        {
            await using var body = await from.Content.ReadAsStreamAsync(scope.Cancellation);
            var buffer = new byte[16384];
            int count;
            while ((count = await body.ReadAsync(buffer, scope.Cancellation)) > 0)
            {
                if ((await response.BodyWriter.WriteAsync(buffer.AsMemory(0, count), scope.Cancellation)).IsCompleted) break;
            }
        }
        catch (Exception problem) when (problem is IOException or HttpRequestException && !scope.ClientLeft)
        {
            scope.Judge(new(ProxyErrorKind.HostFailed, "the process that handed over ended"));
            scope.Context.Abort(); // half an answer must not look complete
        }
    }

    private static string PathOf(HttpRequestMessage request) => request.Options.TryGetValue(Socket, out var path) ? path : "";

    /// <summary>A host name for each path: requests to one process share connections.</summary>
    private static string NameOf(string path) => Hex(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(path))[..8]);

    private static string Hex(byte[] bytes) => Convert.ToHexStringLower(bytes);

    private static ForwardedFor? Read(string hex)
    {
        try
        {
            return JsonSerializer.Deserialize(Convert.FromHexString(hex), ForwardingJson.Default.ForwardedFor);
        }
        catch (Exception problem) when (problem is FormatException or JsonException)
        {
            return null;
        }
    }
}
