using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Proxy.Inference;

/// <summary>A model could not be downloaded; the message is for the user.</summary>
internal sealed class HubException(string message) : Exception(message);

/// <summary>One file of a repository. Large files have a SHA-256; the others have git's blob id.</summary>
internal sealed record HubFile(string Path, long Size, string? Sha256, string? BlobId);

/// <summary>A repository at one commit: files downloaded by this listing belong together, even if the repository changes meanwhile.</summary>
internal sealed record HubListing(string Name, string Commit, IReadOnlyList<HubFile> Files)
{
    public HubFile? Find(string path) => Files.FirstOrDefault(file => file.Path == path);
}

/// <summary>The client of a Hugging Face hub. Its token is sent only to the hub itself, not to the target of a redirect.</summary>
internal sealed class Hub : IDisposable
{
    public const string Official = "https://huggingface.co";

    private const int Hops = 8;
    private const long LongestListing = 64 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Uri endpoint;
    private readonly AuthenticationHeaderValue? authorization;
    private readonly HttpMessageInvoker http;

    /// <summary>Throws <see cref="HubException"/> if the address or the token is not valid.</summary>
    public Hub(string? address, string? token)
    {
        if (!Uri.TryCreate((address ?? Official).TrimEnd('/'), UriKind.Absolute, out endpoint!) || endpoint.Scheme is not ("http" or "https"))
            throw new HubException($"HF_ENDPOINT is \"{address}\"; write an address such as {Official}");
        if (token is not null && token.AsSpan().ContainsAnyExceptInRange('!', '~')) throw new HubException("HF_TOKEN contains characters that no token has");
        authorization = token is null ? null : new("Bearer", token);
        http = new(new SocketsHttpHandler
        {
            AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(20),
            UseProxy = !endpoint.IsLoopback, AutomaticDecompression = DecompressionMethods.None,
        });
    }

    /// <summary>The hub's name in messages.</summary>
    public string Host => endpoint.IsDefaultPort ? endpoint.Host : endpoint.Authority;

    /// <summary>The repository's files at a branch, tag or commit. Throws <see cref="HubException"/>.</summary>
    public async Task<HubListing> ListAsync(string name, string revision, CancellationToken cancellation)
    {
        try
        {
            using var response = await SendAsync($"/api/models/{name}/revision/{Uri.EscapeDataString(revision)}?blobs=true", name, revision, 0, cancellation);
            if (response.Content.Headers.ContentLength > LongestListing) throw new JsonException("too long");
            await using var body = await response.Content.ReadAsStreamAsync(cancellation);
            var said = await JsonSerializer.DeserializeAsync(body, HubJson.Default.HubModel, cancellation) ?? throw new JsonException("null");
            var commit = said.Sha is { Length: 40 } sha && sha.All(char.IsAsciiHexDigit) ? sha : revision;
            return new(name, commit, [.. (said.Siblings ?? []).Where(static file => file.Rfilename is not null)
                .Select(static file => new HubFile(file.Rfilename!, file.Lfs?.Size ?? file.Size ?? -1, file.Lfs?.Sha256, file.BlobId))]);
        }
        catch (JsonException)
        {
            throw new HubException($"{Host} answers with something that is not a listing of a model; is HF_ENDPOINT right?");
        }
        catch (Exception problem) when (problem is HttpRequestException or IOException)
        {
            throw new HubException($"{Host} cannot be reached: {problem.Message}");
        }
    }

    /// <summary>
    /// A file's bytes from an offset on; the server may ignore the offset (200 instead of 206). Throws <see cref="HttpRequestException"/> for failures that may
    /// be
    /// temporary, <see cref="HubException"/> for permanent ones.
    /// </summary>
    public Task<HttpResponseMessage> OpenAsync(HubListing listing, HubFile file, long from, CancellationToken cancellation) =>
        SendAsync($"/{listing.Name}/resolve/{Uri.EscapeDataString(listing.Commit)}/{string.Join('/', file.Path.Split('/').Select(Uri.EscapeDataString))}",
            listing.Name, listing.Commit, from, cancellation);

    public void Dispose() => http.Dispose();

    private async Task<HttpResponseMessage> SendAsync(string path, string name, string revision, long from, CancellationToken cancellation)
    {
        var at = new Uri(endpoint.AbsoluteUri.TrimEnd('/') + path);
        for (var hop = 0; hop < Hops; hop++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, at);
            request.Headers.UserAgent.Add(new("proxy", null));
            if (IsOurs(at)) request.Headers.Authorization = authorization;
            if (from > 0) request.Headers.Range = new(from, null);

            var response = await SendAsync(request, cancellation);
            if ((int)response.StatusCode is 301 or 302 or 303 or 307 or 308 && response.Headers.Location is { } location)
            {
                response.Dispose();
                var next = new Uri(at, location);
                if (next.Scheme is not ("http" or "https") || (at.Scheme == "https" && next.Scheme != "https"))
                {
                    throw new HubException($"{at.Host} redirects to {next.Scheme}://{next.Host}, which is not followed");
                }

                at = next;
                continue;
            }

            if (response.IsSuccessStatusCode || (from > 0 && response.StatusCode is HttpStatusCode.RequestedRangeNotSatisfiable)) return response;
            using (response) throw Refused(response, at, name, revision);
        }

        throw new HubException($"{Host} redirects in a circle");
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            return await http.SendAsync(request, patience.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new HttpRequestException($"no answer within {Patience.TotalSeconds} s");
        }
    }

    /// <summary>Reads the next bytes. Throws <see cref="HttpRequestException"/> if none arrive in time, or if the connection breaks.</summary>
    public static async ValueTask<int> ReadAsync(Stream body, Memory<byte> into, CancellationTokenSource patience, CancellationToken cancellation)
    {
        patience.CancelAfter(Patience);
        try
        {
            return await body.ReadAsync(into, patience.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new HttpRequestException($"nothing arrived for {Patience.TotalSeconds} s");
        }
        catch (IOException problem)
        {
            throw new HttpRequestException(problem.Message, problem);
        }
    }

    private bool IsOurs(Uri uri) =>
        uri.Scheme == endpoint.Scheme && uri.Port == endpoint.Port && string.Equals(uri.Host, endpoint.Host, StringComparison.OrdinalIgnoreCase);

    private Exception Refused(HttpResponseMessage response, Uri at, string name, string revision)
    {
        var code = response.Headers.TryGetValues("X-Error-Code", out var codes) ? codes.FirstOrDefault() : null;
        var status = (int)response.StatusCode;
        return status switch
        {
            // The hub also answers 401 for models that do not exist, in order not to reveal private ones.
            401 when IsOurs(at) && authorization is null => new HubException(code is "GatedRepo"
                ? $"{name} is gated: accept its terms at {endpoint.AbsoluteUri.TrimEnd('/')}/{name}, then set HF_TOKEN"
                : $"{Host} does not show {name}: the name is wrong, or it is private or gated; then set HF_TOKEN"),
            401 when IsOurs(at) => new HubException($"{Host} does not show {name} to this HF_TOKEN: the token or the name is wrong"),
            403 when IsOurs(at) => new HubException(authorization is null
                ? $"{name} is gated: accept its terms at {endpoint.AbsoluteUri.TrimEnd('/')}/{name}, then set HF_TOKEN"
                : $"this HF_TOKEN may not read {name}: accept its terms at {endpoint.AbsoluteUri.TrimEnd('/')}/{name}, or give the token the right to read it"),
            404 when code is "RevisionNotFound" => new HubException($"{name} has no revision \"{revision}\""),
            404 when code is null or "RepoNotFound" => new HubException($"{Host} has no model {name}, or none at \"{revision}\""),
            408 or 429 or >= 500 => new HttpRequestException(string.Create(CultureInfo.InvariantCulture, $"{at.Host} answers {status}")),
            _ => new HubException(string.Create(CultureInfo.InvariantCulture, $"{at.Host} answers {status} for {name}")),
        };
    }
}

/// <summary>The members of the hub's description of a model that are used here.</summary>
internal sealed record HubModel(string? Sha, IReadOnlyList<HubSibling>? Siblings);

internal sealed record HubSibling(string? Rfilename, long? Size, string? BlobId, HubLargeFile? Lfs);

internal sealed record HubLargeFile(string? Sha256, long? Size);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(HubModel))]
internal sealed partial class HubJson : JsonSerializerContext;
