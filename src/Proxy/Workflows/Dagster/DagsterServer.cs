using System.Net;
using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;

namespace Proxy.Workflows.Dagster;

/// <summary>Asks Dagster's web servers, in GraphQL. Thread-safe.</summary>
internal sealed class DagsterServer(TimeProvider time) : IDisposable
{
    /// <summary>Longest answer in bytes. A page of a run's log with stack traces has some 100 KB.</summary>
    private const int LongestAnswer = 16 << 20;

    /// <summary>The most of a text of Dagster's that goes into a message for the client.</summary>
    private const int LongestQuote = 500;

    private readonly HttpMessageInvoker http = new(new SocketsHttpHandler
    {
        UseProxy = false, UseCookies = false, AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(5), ActivityHeadersPropagator = null,
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(3), // Dagster's web server closes idle connections after 5
    });

    /// <summary>The body of a question.</summary>
    /// <param name="query">The query or mutation.</param>
    /// <param name="variables">Writes the members of its variables.</param>
    public static byte[] Question(string query, Action<Utf8JsonWriter>? variables = null)
    {
        using var body = new PooledBody(1024);
        using (var json = WireJson.NewWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("query"u8, query);
            json.WriteStartObject("variables"u8);
            variables?.Invoke(json);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        return body.Span.ToArray();
    }

    /// <summary>The first field of the answer's <c>data</c>, which is what the question asks for.</summary>
    /// <param name="url">The address of the web server.</param>
    /// <param name="question">From <see cref="Question"/>.</param>
    /// <param name="patience">The most time for the answer.</param>
    /// <exception cref="LaunchException">There is no answer, or one that says that the server cannot do what the question asks for.</exception>
    public async Task<JsonElement> AskAsync(string url, byte[] question, TimeSpan patience, CancellationToken cancellation)
    {
        using var clock = new CancellationTokenSource(patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, clock.Token);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, url.TrimEnd('/') + "/graphql") { Content = new ByteArrayContent(question) };
            request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json");
            using var response = await http.SendAsync(request, either.Token).ConfigureAwait(false);
            await response.Content.LoadIntoBufferAsync(LongestAnswer, either.Token).ConfigureAwait(false);
            return Answer(url, response.StatusCode, await response.Content.ReadAsByteArrayAsync(either.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new LaunchException(new ProxyError(ProxyErrorKind.HostTimedOut, $"Dagster at {url} did not answer within {Duration.Text(patience)}"));
        }
        catch (Exception problem) when (problem is HttpRequestException or IOException)
        {
            throw new LaunchException($"Dagster at {url} cannot be reached: {problem.Message}; is dagster-webserver running there?");
        }
    }

    /// <summary>A text of Dagster's on one line, cut where it is long.</summary>
    public static string Quote(string? text)
    {
        text = (text ?? "").Trim().ReplaceLineEndings(" ");
        return text.Length > LongestQuote ? text[..LongestQuote] + "…" : text;
    }

    /// <summary>The text of that name in an object; null if there is none.</summary>
    public static string? Text(JsonElement? value, ReadOnlySpan<byte> name) =>
        value.Member(name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    /// <summary>The member of that name; null if there is none.</summary>
    public static JsonElement? Part(JsonElement? value, ReadOnlySpan<byte> name) => value.Member(name);

    /// <summary>The elements of the list of that name; empty if there is none.</summary>
    public static JsonElement.ArrayEnumerator List(JsonElement? value, ReadOnlySpan<byte> name) =>
        value.Member(name) is { ValueKind: JsonValueKind.Array } list ? list.EnumerateArray() : default;

    /// <summary>What Dagster answered instead of what was asked for.</summary>
    public static LaunchException Refused(string url, JsonElement answer)
    {
        var type = Text(answer, "__typename"u8);
        var message = Quote(Text(answer, "message"u8));
        if (type is "UnauthorizedError") return Unauthorized($"Dagster at {url} does not let the proxy launch runs: {message}");
        if (type is not "RunConfigValidationInvalid") return new LaunchException($"Dagster at {url} refuses the run ({type}): {message}");
        var errors = new StringBuilder();
        foreach (var error in List(answer, "errors"u8))
            errors.Append(errors.Length == 0 ? "" : "; ").Append(Text(error, "message"u8));
        return new LaunchException($"Dagster at {url} refuses the run's configuration: {Quote(errors.ToString())}. "
            + "The job must have a resource named proxy with the text job, and must need no other setting");
    }

    public void Dispose() => http.Dispose();

    private static JsonElement Answer(string url, HttpStatusCode status, byte[] body)
    {
        if (status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden)
            throw Unauthorized($"Dagster at {url} answers {(int)status}: it wants a login, and the proxy has none; give it an address that needs none");
        JsonElement? answer = null;
        try
        {
            answer = WireJson.Parse(body);
        }
        catch (JsonException)
        {
            // Said below.
        }

        foreach (var error in List(answer, "errors"u8))
            throw new LaunchException($"Dagster at {url} refuses what the proxy asks: {Quote(Text(error, "message"u8))}");
        if (answer.Member("data"u8) is { ValueKind: JsonValueKind.Object } data)
            foreach (var field in data.EnumerateObject()) return field.Value;
        throw new LaunchException($"{url} answers {(int)status} at /graphql without the JSON of Dagster; is it the address of dagster-webserver?");
    }

    private static LaunchException Unauthorized(string message) => new(new ProxyError(ProxyErrorKind.HostUnauthorized, message));
}
