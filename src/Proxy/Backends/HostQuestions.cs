using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>A host's answer: the status is null if it did not answer, the body is null if it was not JSON.</summary>
internal readonly record struct HostAnswer(HttpStatusCode? Status, JsonElement? Body);

/// <summary>Sends the questions to one host and remembers how they failed.</summary>
internal sealed class HostQuestions(
    BackendConfig backend, HttpMessageInvoker http, ProxyIdentity? asker, TimeProvider time, CancellationToken cancellation)
{
    private readonly string root = Root(backend.Url);
    private readonly Lock gate = new();
    private string? unreached;
    private string? refused;
    private string? moved;
    private bool isReached;
    private bool timedOut;
    private bool unasked;

    /// <summary>Time allowed for one answer. A host lists its models at once even while it generates.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Longest answer in bytes. The longest listings of public aggregators have about one MB.</summary>
    private const int LongestAnswer = 8 << 20;

    /// <summary>The id with which the host identified itself as a proxy of this program; null if it did not.</summary>
    public string? ProxyId { get; private set; }

    /// <summary>The JSON of the answer to a GET; null if there is none with status 200.</summary>
    public async Task<JsonElement?> GetAsync(string path) => Ok(await AskAsync(path, null).ConfigureAwait(false));

    /// <summary>The JSON of the answer to a POST; null if there is none with status 200.</summary>
    public async Task<JsonElement?> PostAsync(string path, string json) => Ok(await AskAsync(path, json).ConfigureAwait(false));

    /// <summary>The answer with any status; without a status if there was no answer.</summary>
    public async Task<HostAnswer> AskAsync(string path, string? json)
    {
        if (await SendAsync(path, json).ConfigureAwait(false) is not { } answer) return default;
        using (answer.Response)
        {
            var body = Parsed(answer.Body);
            if (json is null) Reached(path, answer.Response, body);
            return new(answer.Response.StatusCode, body);
        }
    }

    /// <summary>The text of the answer to a GET; null if there is none with status 200.</summary>
    public async Task<byte[]?> TextAsync(string path)
    {
        if (await SendAsync(path, null).ConfigureAwait(false) is not { } answer) return null;
        using (answer.Response) return answer.Response.StatusCode is HttpStatusCode.OK ? answer.Body : null;
    }

    /// <summary>Sends a question and reads its answer whole; null if there was none, and <see cref="unreached"/> has the reason.</summary>
    private async Task<(HttpResponseMessage Response, byte[] Body)?> SendAsync(string path, string? json)
    {
        using var clock = new CancellationTokenSource(Patience, time);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clock.Token);
        try
        {
            using var request = Request(path, json);
            var response = await http.SendAsync(request, patience.Token).ConfigureAwait(false);
            try
            {
                await response.Content.LoadIntoBufferAsync(LongestAnswer, patience.Token).ConfigureAwait(false);
                if (response.Headers.TryGetValues(ProxyIdentity.Header, out var ids) && ids.FirstOrDefault() is { } id && ProxyIdentity.IsId(id)) ProxyId = id;
                var bytes = await response.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false);
                return (response, Decoded(bytes, string.Join(',', response.Content.Headers.ContentEncoding)));
            }
            catch
            {
                response.Dispose();
                throw;
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            lock (gate) timedOut = true;
            Failed($"no answer to {path} within {Duration.Text(Patience)}");
        }
        catch (HttpRequestException e)
        {
            if (Transport.DescriptorShortage.IsCauseOf(e)) unasked = true;
            Failed(Reason(e));
        }
        catch (IOException e)
        {
            Failed($"the connection broke: {e.Message}");
        }

        return null;
    }

    /// <summary>Throws if a question could not be sent for lack of descriptors: the other answers alone would give an incomplete report.</summary>
    public void RefuseIfUnasked()
    {
        if (unasked) throw new HostProbeException("this process has no file descriptor left to ask it") { IsOurs = true };
    }

    /// <summary>Throws if no question was answered, or if the host answered that it cannot be used, or not yet.</summary>
    public void RefuseUnlessReached()
    {
        RefuseIfUnasked();
        if (refused is not null) throw new HostProbeException(Told(refused)) { Answered = true };
        if (moved is not null) throw new HostProbeException(Told(moved)) { Answered = true };
        if (!isReached) throw new HostProbeException(Told(unreached ?? "no answer")) { TimedOut = timedOut };
    }

    /// <summary>Removes the credentials from a reason, which goes to the log and to listings: a host's message may repeat them.</summary>
    private string Told(string reason) => Backend.SecretsOf(backend)?.Strike(reason) ?? reason;

    private static JsonElement? Ok(HostAnswer answer) => answer.Status is HttpStatusCode.OK ? answer.Body : null;

    private void Reached(string path, HttpResponseMessage response, JsonElement? body)
    {
        var status = response.StatusCode;
        lock (gate)
        {
            isReached = true;
            if ((int)status is >= 300 and < 400 && response.Headers.Location is { } location) moved ??= Moved(path, (int)status, location);
            if (status is HttpStatusCode.Unauthorized && backend.Key is null) refused = $"wants a key (401 at {path}); write key or key_file";
            else if (status is HttpStatusCode.Unauthorized) refused = $"refuses the configured key (401 at {path})";
            else if (status is HttpStatusCode.Forbidden || (int)status >= 500)
                refused ??= $"answers {(int)status} at {path}{(HostProbeJson.ErrorMessage(body) is { } message ? $": {message}" : "")}";
        }
    }

    /// <summary>A redirect is not followed: the credential would be sent to its target, and every call would be redirected again.</summary>
    private string Moved(string path, int status, Uri location)
    {
        var target = new Uri(new Uri(root + path), location).GetLeftPart(UriPartial.Path);
        return target.EndsWith(path, StringComparison.Ordinal) && target != root + path
            ? $"answers {status} at {path} and points to {target}; write url = \"{target[..^path.Length]}\""
            : $"answers {status} at {path} and points to {target}; write a url that answers without a redirect";
    }

    private void Failed(string reason)
    {
        lock (gate) unreached ??= reason;
    }

    private HttpRequestMessage Request(string path, string? json)
    {
        var request = new HttpRequestMessage(json is null ? HttpMethod.Get : HttpMethod.Post, root + path);
        if (json is not null) request.Content = new StringContent(json, Encoding.UTF8, "application/json");
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        if (backend.Key is { } key)
        {
            if (backend.Dialects is [DialectFamily.Anthropic]) request.Headers.TryAddWithoutValidation("x-api-key", key);
            else request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {key}");
        }

        if (asker is not null) request.Headers.TryAddWithoutValidation("Via", asker.Via); // a proxy leaves out the models that it reaches only through this one
        foreach (var (name, value) in backend.Headers) request.Headers.TryAddWithoutValidation(name, value);
        return request;
    }

    /// <summary>The decompressed body of a host that compresses without being asked; empty if it cannot be decompressed or is too long.</summary>
    private static byte[] Decoded(byte[] body, string coding)
    {
        if (ContentCoding.IsIdentity(coding)) return body;
        using var decoder = ContentCoding.Decode(coding, new MemoryStream(body), body);
        if (decoder is null) return [];
        using var decoded = new PooledBody();
        try
        {
            while (decoded.Length <= LongestAnswer)
            {
                var count = decoder.Read(decoded.GetSpan(4096));
                if (count == 0) return decoded.Span.ToArray();
                decoded.Advance(count);
            }

            return [];
        }
        catch (Exception problem) when (ContentCoding.IsBroken(problem))
        {
            return [];
        }
    }

    private static JsonElement? Parsed(byte[] body)
    {
        try
        {
            using var document = JsonDocument.Parse(body.AsMemory(FirstBytes.MarkLength(body) ?? 0));
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Reason(HttpRequestException e) => (e.HttpRequestError, e.InnerException) switch
    {
        (HttpRequestError.NameResolutionError, _) => "its name cannot be resolved",
        (HttpRequestError.SecureConnectionError, { } inner) => $"TLS failed: {inner.Message}",
        (HttpRequestError.ConfigurationLimitExceeded, _) => $"an answer was longer than {ByteSize.Text(LongestAnswer)}",
        (_, SocketException { SocketErrorCode: SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain }) => "its name cannot be resolved",
        (_, SocketException { SocketErrorCode: SocketError.ConnectionRefused }) => "connection refused",
        (_, SocketException socket) => socket.Message,
        (HttpRequestError.InvalidResponse, _) => "its answer is not HTTP",
        (_, { } inner) => inner.Message,
        _ => e.Message,
    };

    /// <summary>The url without the <c>/v1</c> that users copy from an SDK's base url, because half of the questions are beside it.</summary>
    private static string Root(string url)
    {
        url = url.TrimEnd('/');
        return url.EndsWith("/v1", StringComparison.Ordinal) ? url[..^"/v1".Length] : url;
    }
}
