using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>A request's body as one JSON object, or what is wrong with it.</summary>
internal static class RequestDocument
{
    /// <summary>Returns the first problem that the JSON or <paramref name="fields"/> has, or null and what <paramref name="read"/> made of the object.</summary>
    public static ProxyError? Read(ReadOnlyMemory<byte> body, RequestFields fields, Func<JsonElement, ChatRequest> read, out ChatRequest? request)
    {
        request = null;
        try
        {
            using var document = JsonDocument.Parse(LoneSurrogates.Replaced(body), WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object) return new ProxyError(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");

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
