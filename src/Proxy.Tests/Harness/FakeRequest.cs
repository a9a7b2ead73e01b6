using System.Text;
using System.Text.Json;

namespace Proxy.Tests.Harness;

/// <summary>One request as a fake host received it: head and body byte for byte.</summary>
internal sealed record FakeRequest(string Head, byte[] Body, int Connection)
{
    public string Method => Head[..Head.IndexOf(' ', StringComparison.Ordinal)];

    public string Target => Head.Split(' ', 3)[1];

    public string Text => Encoding.UTF8.GetString(Body);

    public JsonElement Json => JsonElement.Parse(Text);

    /// <summary>The header lines, in order.</summary>
    public IReadOnlyList<(string Name, string Value)> Headers =>
        [.. Head.Split("\r\n").Skip(1).Where(line => line.Length > 0).Select(line => line.Split(':', 2)).Select(pair => (pair[0], pair[1].Trim()))];

    /// <summary>The value of a header, or null; repeated headers are joined.</summary>
    public string? Header(string name)
    {
        var values = Headers.Where(header => header.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(header => header.Value).ToArray();
        return values.Length == 0 ? null : string.Join(", ", values);
    }
}
