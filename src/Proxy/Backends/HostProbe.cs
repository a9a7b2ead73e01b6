using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Backends;

/// <summary>
/// Asks a host what it is, which dialects it speaks and which models it serves. The questions only read; a host is never made to generate or to load something.
/// Responses and Anthropic have no such question: they are spoken where <c>dialects</c> says so.
/// </summary>
internal static class HostProbe
{
    /// <summary>Wait for one answer. A host that is busy generating still lists its models at once.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>Bytes of one answer. The longest listings of public aggregators have about one MB.</summary>
    private const int LongestAnswer = 8 << 20;

    private static readonly Task<JsonElement?> Nothing = Task.FromResult<JsonElement?>(null);

    /// <summary>
    /// Asks everything at once. Families that <c>dialects</c> names are taken as said, and only their models asked for.
    /// The client given knows how to reach the host (its authorities, its connect clock) and adds no header. Throws <see cref="HostProbeException"/> with one reason where the host cannot be used, <see cref="OperationCanceledException"/> where the caller gave up.
    /// </summary>
    public static async Task<HostReport> AskAsync(BackendConfig backend, HttpMessageInvoker http, CancellationToken cancellation)
    {
        if (backend.Url == BackendConfig.BuiltinEcho) return EchoReport(backend);

        var host = new Questions(backend, http, cancellation);
        var families = backend.Dialects;
        bool Asks(DialectFamily family) => families is null || families.Contains(family);
        var asksOpenAi = Asks(DialectFamily.OpenAi) || Asks(DialectFamily.Responses) || Asks(DialectFamily.Anthropic);

        var version = families is null ? host.GetAsync("/api/version") : Nothing;
        var tags = Asks(DialectFamily.Ollama) ? host.GetAsync("/api/tags") : Nothing;
        var running = Asks(DialectFamily.Ollama) ? host.GetAsync("/api/ps") : Nothing;
        var listing = asksOpenAi ? host.GetAsync("/v1/models") : Nothing;
        var props = asksOpenAi ? host.GetAsync("/props") : Nothing;
        var info = Asks(DialectFamily.Tei) ? host.GetAsync("/info") : Nothing;
        await Task.WhenAll(version, tags, running, listing, props, info).ConfigureAwait(false);

        var llama = HostProbeJson.Props(await props);
        var openAi = HostProbeJson.OpenAiModels(await listing);
        var ollama = HostProbeJson.OllamaModels(await tags, await running);
        var tei = HostProbeJson.TeiModel(await info);

        if (openAi is { Count: 1 })
        {
            if (llama?.ContextLength is null && HostProbeJson.Kind(openAi) == "llama.cpp") llama = HostProbeJson.Slots(await host.GetAsync("/slots")) ?? llama;
            // With one model, what the slots say is said of it. It is what a call gets, which goes before what the listing says.
            if (llama?.ContextLength is { } context) openAi = [openAi[0] with { ContextLength = context }];
        }

        if (families is not null)
        {
            if (openAi is null && ollama is null && tei is null) host.RefuseUnlessReached();
            return new(families, Merged(ollama, openAi, tei), llama?.Slots, Kind(families, ollama, tei, openAi, llama is not null));
        }

        // llama.cpp first: it answers some of Ollama's questions too.
        if (llama is not null && openAi is not null) return new([DialectFamily.OpenAi], openAi, llama?.Slots, "llama.cpp");
        // Ollama offers OpenAI's dialect too, but num_ctx is honoured in its own alone: the other is not reported.
        if (ollama is not null && HostProbeJson.IsOllamaVersion(await version)) return new([DialectFamily.Ollama], ollama, null, "ollama");
        // TEI has /v1/embeddings, and no /v1/models to say so.
        if (tei is { } one) return new(one.Embeds ? [DialectFamily.Tei, DialectFamily.OpenAi] : [DialectFamily.Tei], [one.Model], null, "tei");
        if (openAi is not null) return new([DialectFamily.OpenAi], openAi, llama?.Slots, HostProbeJson.Kind(openAi) ?? "openai");

        host.RefuseUnlessReached();
        throw new HostProbeException("answers, but lists no models in any dialect known here; name what it speaks in dialects");
    }

    private static HostReport EchoReport(BackendConfig backend) => new(
        [.. Enum.GetValues<DialectFamily>().Where(family => family is not DialectFamily.Tei)],
        [.. backend.Models.Select(model => new HostModel(model, null, Loaded: true, null))],
        Slots: null,
        Kind: "echo");

    private static string? Kind(IReadOnlyList<DialectFamily> families, IReadOnlyList<HostModel>? ollama, (HostModel, bool)? tei, IReadOnlyList<HostModel>? openAi, bool isLlama) =>
        isLlama ? "llama.cpp"
        : openAi is not null && HostProbeJson.Kind(openAi) is { } kind ? kind
        : ollama is not null && families.Contains(DialectFamily.Ollama) ? "ollama"
        : tei is not null ? "tei"
        : openAi is not null ? "openai"
        : null;

    /// <summary>Each name once. Ollama's own entries say most, so they go before what the same host lists elsewhere.</summary>
    private static List<HostModel> Merged(IReadOnlyList<HostModel>? ollama, IReadOnlyList<HostModel>? openAi, (HostModel Model, bool)? tei) =>
        [.. (ollama ?? []).Concat(openAi ?? []).Concat(tei is { } one ? [one.Model] : []).DistinctBy(model => model.Name)];

    /// <summary>The questions to one host, and what went wrong with them.</summary>
    private sealed class Questions(BackendConfig backend, HttpMessageInvoker http, CancellationToken cancellation)
    {
        private readonly string root = Root(backend.Url);
        private readonly Lock gate = new();
        private string? unreached;
        private string? refused;
        private bool isReached;
        private bool timedOut;

        /// <summary>The JSON that a path answers with; null where it answers with anything else, or not.</summary>
        public async Task<JsonElement?> GetAsync(string path)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            patience.CancelAfter(Patience);
            try
            {
                using var request = Request(path);
                using var response = await http.SendAsync(request, patience.Token).ConfigureAwait(false);
                await response.Content.LoadIntoBufferAsync(LongestAnswer, patience.Token).ConfigureAwait(false);
                var body = await response.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false);
                return Answered(path, response.StatusCode, Parsed(body));
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                lock (gate) timedOut = true;
                Failed($"no answer to {path} within {Duration.Text(Patience)}");
            }
            catch (HttpRequestException e)
            {
                Failed(Reason(e));
            }
            catch (IOException e)
            {
                Failed($"the connection broke: {e.Message}");
            }

            return null;
        }

        /// <summary>Throws where nothing was answered at all, or where the host answered that it will not, or cannot yet, be used.</summary>
        public void RefuseUnlessReached()
        {
            if (refused is not null) throw new HostProbeException(refused);
            if (!isReached) throw new HostProbeException(unreached ?? "no answer") { TimedOut = timedOut };
        }

        private JsonElement? Answered(string path, HttpStatusCode status, JsonElement? body)
        {
            lock (gate)
            {
                isReached = true;
                if (status is HttpStatusCode.Unauthorized && backend.Key is null) refused = $"wants a key (401 at {path}); write key or key_file";
                else if (status is HttpStatusCode.Unauthorized) refused = $"refuses our key (401 at {path})";
                else if (status is HttpStatusCode.Forbidden || (int)status >= 500)
                    refused ??= $"answers {(int)status} at {path}{(HostProbeJson.ErrorMessage(body) is { } message ? $": {message}" : "")}";
            }

            return status is HttpStatusCode.OK ? body : null;
        }

        private void Failed(string reason)
        {
            lock (gate) unreached ??= reason;
        }

        private HttpRequestMessage Request(string path)
        {
            var request = new HttpRequestMessage(HttpMethod.Get, root + path);
            request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
            if (backend.Key is { } key)
            {
                if (backend.Dialects is [DialectFamily.Anthropic]) request.Headers.TryAddWithoutValidation("x-api-key", key);
                else request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {key}");
            }

            foreach (var (name, value) in backend.Headers) request.Headers.TryAddWithoutValidation(name, value);
            return request;
        }

        private static JsonElement? Parsed(byte[] body)
        {
            try
            {
                using var document = JsonDocument.Parse(body);
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
            (HttpRequestError.InvalidResponse, _) => "what it answers is not HTTP",
            (_, { } inner) => inner.Message,
            _ => e.Message,
        };

        /// <summary>The url without the <c>/v1</c> that people copy from an SDK's base url: half of the questions are asked beside it.</summary>
        private static string Root(string url)
        {
            url = url.TrimEnd('/');
            return url.EndsWith("/v1", StringComparison.Ordinal) ? url[..^"/v1".Length] : url;
        }
    }
}

/// <summary>Why a host cannot be used, in words that follow its name: "connection refused", "wants a key (401 at /v1/models)".</summary>
internal sealed class HostProbeException(string reason) : Exception(reason)
{
    /// <summary>It may only be busy: a connection there was, but no answer in time.</summary>
    public bool TimedOut { get; init; }
}
