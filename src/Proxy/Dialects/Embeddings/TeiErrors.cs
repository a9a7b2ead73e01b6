using System.Buffers;
using System.Text;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>
/// Errors on the native paths of Text Embeddings Inference: a sentence and a type. A body that TEI's parser cannot read is answered with plain text: status 400
/// if it is not JSON, 422 if it is JSON of the wrong shape.
/// </summary>
internal static class TeiErrors
{
    private const string NotJson = "not_json";
    private const string Misfit = "unprocessable";
    private const string Empty = "empty";
    private static readonly string[] Types = ["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"];

    public static ProxyError Unreadable(ProxyError problem) =>
        problem.Kind is not ProxyErrorKind.InvalidRequest || problem.Code is ModelName.TooLongCode ? problem
        : problem.Param is null ? problem with { Message = $"Failed to parse the request body as JSON: {problem.Message}", Status = 400, Code = NotJson }
        : Misfitting(problem.Param, problem.Message);

    public static ProxyError Misfitting(string field, string message)
        => new(ProxyErrorKind.InvalidRequest, $"Failed to deserialize the JSON body into the target type: {message}")
        {
            Status = 422,
            Code = Misfit,
            Param = field
        };

    public static ProxyError Missing(string field) => Misfitting(field, $"missing field `{field}`");

    public static ProxyError IsEmpty(string field, bool validated = true)
        => new(ProxyErrorKind.InvalidRequest, $"{(validated ? "Input validation error: " : "")}`{field}` cannot be empty") { Code = Empty, Param = field };

    public static ProxyError Invalid(string message, string? field = null) =>
        new(ProxyErrorKind.InvalidRequest, $"Input validation error: {message}") { Status = 422, Param = field };

    public static ProxyError TooMany(int inputs, int limit) =>
        new(ProxyErrorKind.InvalidRequest, $"batch size {inputs} > maximum allowed batch size {limit}") { Status = 422 };

    public static ProxyError WrongKind(string message) =>
        new(ProxyErrorKind.InvalidRequest, $"Backend error: {message}") { Status = 424, Code = VectorRefusals.WrongKind };

    public static ProxyError Explain(VectorError error) => error.Kind switch
    {
        VectorErrorKind.TooLong => Invalid(error is { Tokens: { } tokens, Limit: { } limit }
            ? $"`inputs` must have less than {limit} tokens. Given: {tokens}{(error.Input is { } input and > 0 ? $" (input {input})" : "")}" : error.Message,
                "inputs"),
        VectorErrorKind.InvalidInput or VectorErrorKind.InvalidDimensions or VectorErrorKind.UnknownPrompt => Invalid(error.Message),
        VectorErrorKind.WrongKind => WrongKind(error.Message),
        VectorErrorKind.Overloaded => new(ProxyErrorKind.QueueFull, "Model is overloaded") { RetryAfter = TimeSpan.FromSeconds(1) },
        _ => VectorRefusals.Of(error, "inputs"),
    };

    /// <summary>In TEI's API an overload is always 429, whether the proxy or the host is overloaded.</summary>
    public static int StatusOf(ProxyError error) => error.Kind is ProxyErrorKind.QueueFull ? 429 : error.Status;

    public static string ContentType(ProxyError error) => error.Code is NotJson or Misfit ? "text/plain; charset=utf-8" : "application/json";

    public static void Write(ProxyError error, IBufferWriter<byte> output)
    {
        if (error.Code is NotJson or Misfit)
        {
            output.Write(Encoding.UTF8.GetBytes(error.Message));
            return;
        }

        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        json.WriteString("error"u8, error.Message);
        json.WriteString("error_type"u8, TypeOf(error));
        json.WriteEndObject();
    }

    private static string TypeOf(ProxyError error) => error.Kind switch
    {
        ProxyErrorKind.InvalidRequest when error.Code is Empty => "Empty",
        ProxyErrorKind.InvalidRequest when error.Status == 424 => "Backend",
        ProxyErrorKind.QueueFull or ProxyErrorKind.RateLimited => "Overloaded",
        ProxyErrorKind.NoBackend or ProxyErrorKind.Draining or ProxyErrorKind.OutOfDescriptors => "Unhealthy",
        ProxyErrorKind.HostRefused when error.HostType is { } said && Types.Contains(said) => said,
        ProxyErrorKind.HostRefused => error.Status switch { 424 => "Backend", 429 => "Overloaded", 503 => "Unhealthy", _ => "Validation" },
        ProxyErrorKind.HostFailed or ProxyErrorKind.HostTimedOut or ProxyErrorKind.HostUnauthorized or ProxyErrorKind.ProxyLoop or ProxyErrorKind.Internal
            or ProxyErrorKind.NotImplemented => "Backend",
        _ => "Validation",
    };
}
