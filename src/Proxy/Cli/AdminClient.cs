using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary>Sends requests to the running proxy over its admin socket.</summary>
internal sealed class AdminClient(Func<string, string?> environment)
{
    /// <summary>
    /// Refuses <c>--config</c>: a command to the running proxy reads no file, and the proxy keeps the file that it was started with.
    /// </summary>
    public static void TakesNoFile(Command command, Option<string?> config) => command.Validators.Add(result =>
    {
        if (result.GetResult(config) is not null)
        {
            result.AddError($"{command.Name} takes no --config: the running proxy keeps the file that it was started with.");
        }
    });

    /// <summary>
    /// The answer's JSON, whatever its status. Throws <see cref="AdminException"/> with the message for the user and its exit code.
    /// </summary>
    public async Task<T> AskAsync<T>(HttpMethod method, string path, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        using var connection = await ConnectAsync(cancellation).ConfigureAwait(false);
        using var http = Over(connection);
        try
        {
            using var response = await http.SendAsync(new HttpRequestMessage(method, path), cancellation).ConfigureAwait(false);
            var body = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
            return JsonSerializer.Deserialize(body, type) ?? throw new JsonException();
        }
        catch (JsonException)
        {
            throw new AdminException(ExitCode.Failed, $"the running proxy does not know {path}; it has another version than this command");
        }
        catch (HttpRequestException e)
        {
            throw new AdminException(ExitCode.Failed, $"the connection to the running proxy broke: {e.Message}");
        }
    }

    /// <summary>
    /// Reads an answer line by line, as it comes, for as long as it takes. Throws <see cref="AdminException"/> if it is refused or the connection breaks.
    /// </summary>
    public Task FollowAsync(string path, Action<string> see, CancellationToken cancellation) => FollowAsync(HttpMethod.Get, path, see, cancellation);

    /// <inheritdoc cref="FollowAsync(string, Action{string}, CancellationToken)"/>
    public async Task FollowAsync(HttpMethod method, string path, Action<string> see, CancellationToken cancellation)
    {
        using var connection = await ConnectAsync(cancellation).ConfigureAwait(false);
        using var http = Over(connection);
        http.Timeout = Timeout.InfiniteTimeSpan;
        try
        {
            using var request = new HttpRequestMessage(method, path);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                var refusal = await response.Content.ReadAsStringAsync(cancellation).ConfigureAwait(false);
                throw new AdminException(ExitCode.Failed, JsonSerializer.Deserialize(refusal, CliJson.Default.AdminRefusal)?.Error?.Message
                    ?? throw new JsonException());
            }

            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false));
            while (await reader.ReadLineAsync(cancellation).ConfigureAwait(false) is { } line)
            {
                if (line.Length > 0) see(line);
            }
        }
        catch (JsonException)
        {
            throw new AdminException(ExitCode.Failed, $"the running proxy does not know {path}; it has another version than this command");
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new AdminException(ExitCode.Failed, $"the connection to the running proxy broke: {e.Message}");
        }
    }

    /// <summary>Whether a proxy answers. Throws <see cref="AdminException"/> if none does.</summary>
    public async Task ReachAsync(CancellationToken cancellation) => (await ConnectAsync(cancellation).ConfigureAwait(false)).Dispose();

    /// <summary>
    /// A client for many requests of any length. A connection that cannot be made throws an <see cref="AdminException"/> within its exception.
    /// </summary>
    public HttpClient Open() => new(new SocketsHttpHandler
    {
        UseProxy = false,
        ConnectCallback = async (_, cancellation) => new NetworkStream(await ConnectAsync(cancellation).ConfigureAwait(false), ownsSocket: true),
    })
    {
        BaseAddress = new Uri("http://localhost"), Timeout = Timeout.InfiniteTimeSpan,
    };

    private static HttpClient Over(Socket connection) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        ConnectCallback = (_, _) => ValueTask.FromResult<Stream>(new NetworkStream(connection)),
    })
    {
        BaseAddress = new Uri("http://localhost"),
    };

    private async Task<Socket> ConnectAsync(CancellationToken cancellation)
    {
        var places = AdminSocket.Candidates(environment);
        foreach (var place in places)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(place), cancellation).ConfigureAwait(false);
                return socket;
            }
            catch (SocketException e)
            {
                socket.Dispose();
                if (e.SocketErrorCode is SocketError.AccessDenied)
                {
                    throw new AdminException(ExitCode.Failed, $"{place} belongs to another user; run this command as that user or as root");
                }
            }
            catch (ArgumentOutOfRangeException)
            {
                socket.Dispose();
                throw new AdminException(ExitCode.Usage, $"{place} is too long for a unix socket's path");
            }
        }

        throw new AdminException(ExitCode.NotRunning, $"no proxy is running: none answers at {string.Join(" or ", places)}");
    }
}

/// <summary>A request to the running proxy failed.</summary>
internal sealed class AdminException(ExitCode code, string message) : Exception(message)
{
    public ExitCode Code => code;
}
