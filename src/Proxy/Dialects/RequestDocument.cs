using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Parses a request's body as one JSON object.</summary>
internal static class RequestDocument
{
    /// <summary>
    /// Returns the first problem, which the JSON parser or <paramref name="read"/> found; otherwise null and the result of <paramref name="read"/>.
    /// </summary>
    public static ProxyError? Read(ReadOnlyMemory<byte> body, Func<JsonElement, RequestFields, ChatRequest> read, out ChatRequest? request)
    {
        request = null;
        try
        {
            using var document = JsonDocument.Parse(LoneSurrogates.Replaced(body), WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object)
                return new ProxyError(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");

            var fields = new RequestFields();
            var made = read(document.RootElement, fields);
            if (fields.Problem is null) request = made with { Unknown = fields.Unknown, AsItCame = fields.AsItCame };
            return fields.Problem;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // not JSON, or text that is not Unicode
        {
            return new ProxyError(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}");
        }
    }
}
