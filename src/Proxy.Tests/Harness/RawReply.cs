using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>An answer as the client received it, byte for byte.</summary>
/// <param name="Whole">Whether the body ended as its framing says; false if the connection broke before.</param>
internal sealed record RawReply(int Status, IReadOnlyList<(string Name, string Value)> Headers, byte[] Body, bool Whole)
{
    public string Text => Encoding.UTF8.GetString(Body);

    public JsonElement Json => JsonElement.Parse(Text);

    /// <summary>The message in an error of OpenAI's form.</summary>
    public string ErrorMessage => Json.GetProperty("error").GetProperty("message").GetString()!;

    public string? ErrorType => Json.GetProperty("error").GetProperty("type").GetString();

    public string? ErrorCode => Json.GetProperty("error").GetProperty("code").GetString();

    public string TraceId => Header("x-trace-id") ?? throw new InvalidOperationException($"no x-trace-id came back with {Status}: {Text}");

    public string? ContentType => Header("content-type");

    /// <summary>The data of each SSE event, read by .NET's own parser.</summary>
    public IReadOnlyList<string> Events => [.. SseParser.Create(new MemoryStream(Body)).Enumerate().Select(item => item.Data)];

    /// <summary>The lines of a JSON-lines body.</summary>
    public IReadOnlyList<JsonElement> JsonLines => [.. Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonElement.Parse(line))];

    public string? Header(string name)
    {
        var values = Headers.Where(header => header.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(header => header.Value).ToArray();
        return values.Length == 0 ? null : string.Join(", ", values);
    }
}
