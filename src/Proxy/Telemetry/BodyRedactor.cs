using System.Text.Json;
using System.Text.RegularExpressions;

namespace Proxy.Telemetry;

/// <summary>Copies JSON for a log: values that are secrets are left out, and long runs of base64, such as images, are replaced by their length.</summary>
internal static partial class BodyRedactor
{
    private const string Struck = "[redacted]";

    /// <summary>Names of members whose values are secrets, in small letters, without dashes and underscores.</summary>
    private static readonly HashSet<string> Secret =
    [
        "apikey", "xapikey", "authorization", "proxyauthorization", "authtoken", "accesstoken", "refreshtoken", "idtoken", "password", "passwd", "secret",
        "secretkey", "clientsecret", "privatekey", "cookie", "setcookie",
    ];

    /// <param name="json">One JSON value.</param>
    /// <param name="writer">Where the copy goes. If this method throws, it has a part of it.</param>
    /// <exception cref="JsonException">The bytes are not one JSON value.</exception>
    public static void Copy(ReadOnlySpan<byte> json, Utf8JsonWriter writer)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 256 });
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.PropertyName:
                    var name = reader.GetString()!;
                    writer.WritePropertyName(name);
                    if (!IsSecret(name)) break;
                    reader.Read();
                    if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject) reader.Skip();
                    writer.WriteStringValue(Struck);
                    break;
                case JsonTokenType.String:
                    writer.WriteStringValue(Redact(reader.GetString()!));
                    break;
                case JsonTokenType.StartObject:
                    writer.WriteStartObject();
                    break;
                case JsonTokenType.EndObject:
                    writer.WriteEndObject();
                    break;
                case JsonTokenType.StartArray:
                    writer.WriteStartArray();
                    break;
                case JsonTokenType.EndArray:
                    writer.WriteEndArray();
                    break;
                default:
                    writer.WriteRawValue(reader.ValueSpan, skipInputValidation: true); // a number as it was written, true, false, null
                    break;
            }
        }
    }

    /// <summary>Strikes out what looks like a key, and shortens base64.</summary>
    public static string Redact(string text)
    {
        if (text.Length >= 256) text = Base64().Replace(text, static run => $"[{run.Length} characters]");
        return Bearer().Replace(Key().Replace(text, Struck), "$1" + Struck);
    }

    private static bool IsSecret(string name) => name.Length <= 32
        && Secret.Contains(name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).ToLowerInvariant());

    [GeneratedRegex("[A-Za-z0-9+/_-]{256,}={0,2}")]
    private static partial Regex Base64();

    /// <summary>Keys of this proxy and of well-known services, by their beginnings.</summary>
    [GeneratedRegex(@"\b(pxy-|sk-|sk_|pk_|hf_|gh[pousr]_|github_pat_|xox[abprs]-|glpat-|AKIA|AIza)[A-Za-z0-9_-]{12,}")]
    private static partial Regex Key();

    [GeneratedRegex(@"\b((?:[Bb]earer|[Bb]asic)\s+)[A-Za-z0-9._~+/-]{12,}=*")]
    private static partial Regex Bearer();
}
