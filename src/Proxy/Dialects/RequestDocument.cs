using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Parses a request's body as one JSON object.</summary>
internal static class RequestDocument
{
    /// <summary>
    /// Returns the first problem found by the JSON parser or in <paramref name="fields"/>; otherwise null and the result of <paramref name="read"/>.
    /// </summary>
    public static ProxyError? Read(ReadOnlyMemory<byte> body, RequestFields fields, Func<JsonElement, ChatRequest> read, out ChatRequest? request)
    {
        request = null;
        try
        {
            using var document = JsonDocument.Parse(LoneSurrogates.Replaced(body), WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object)
                return new ProxyError(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");

            var made = read(document.RootElement);
            if (fields.Problem is { } problem) return problem;
            request = made;
            return null;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or text that is not Unicode
        {
            return new ProxyError(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}");
        }
    }
}
