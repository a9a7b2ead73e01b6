using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using Proxy.Config;
using Proxy.Transport;

namespace Proxy.Traces;

/// <summary>What became of spans that were sent.</summary>
/// <param name="Failure">Why the receiver did not take them; null: it did.</param>
/// <param name="Rejected">Those that it took the others without.</param>
internal sealed record SendResult(string? Failure, long Rejected = 0)
{
    /// <summary>It may take them later.</summary>
    public bool CanRetry { get; init; }

    /// <summary>How long it wants to be left alone; null: it did not say.</summary>
    public TimeSpan? RetryAfter { get; init; }
}

/// <summary>Sends requests to the receiver of traces: OTLP over HTTP, as Protocol Buffers.</summary>
internal sealed class OtlpReceiver : IDisposable
{
    private static readonly MediaTypeHeaderValue ContentType = new("application/x-protobuf");

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Bytes of an answer that are read at most.</summary>
    private const int LongestAnswer = 64 << 10;

    private readonly HttpMessageInvoker http;
    private readonly Uri url;
    private readonly IReadOnlyDictionary<string, string> headers;
    private readonly TimeProvider time;

    public OtlpReceiver(TracesConfig config, TimeProvider time)
    {
        (url, headers, this.time) = (TracesConfig.Endpoint(config.Otlp), config.Headers, time);
        X509Certificate2Collection? authorities = null;
        if (config.Ca is { } ca) (authorities = []).ImportFromPem(ca.Text);
        http = HostHttp.Create(new UpstreamTarget(url) { Authorities = authorities, VerifyCertificate = config.TlsVerify }, time);
    }

    public string Url => url.AbsoluteUri;

    /// <summary>Sends a request. Failures of the network are results.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async Task<SendResult> SendAsync(ReadOnlyMemory<byte> body, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var timer = time.CreateTimer(static state => ((CancellationTokenSource)state!).Cancel(), patience, Patience, Timeout.InfiniteTimeSpan);
        using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new ReadOnlyMemoryContent(body) };
        request.Content.Headers.ContentType = ContentType;
        foreach (var (name, value) in headers) request.Headers.TryAddWithoutValidation(name, value);
        try
        {
            using var response = await http.SendAsync(request, patience.Token).ConfigureAwait(false);
            if (response.StatusCode is >= HttpStatusCode.OK and < HttpStatusCode.MultipleChoices)
                return new(null, OtlpRequest.ReadRejected(await ReadAsync(response, patience.Token).ConfigureAwait(false)));
            return new($"it answers with status {(int)response.StatusCode}")
            {
                CanRetry = (int)response.StatusCode is 429 or 502 or 503 or 504,
                RetryAfter = response.Headers.RetryAfter?.Delta,
            };
        }
        catch (Exception problem) when (problem is HttpRequestException or IOException)
        {
            return new(problem.InnerException?.Message ?? problem.Message) { CanRetry = true };
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return new($"it did not answer within {Patience.TotalSeconds} s") { CanRetry = true };
        }
    }

    public void Dispose() => http.Dispose();

    /// <summary>The answer's body; empty if it is longer than an answer is.</summary>
    private static async Task<byte[]> ReadAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        await using var stream = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        var read = new byte[LongestAnswer + 1];
        var length = await stream.ReadAtLeastAsync(read, read.Length, throwOnEndOfStream: false, cancellation).ConfigureAwait(false);
        return length > LongestAnswer ? [] : read[..length];
    }
}
