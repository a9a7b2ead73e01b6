using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// Limits the number of values in a JSON text. A parsed document takes a hundred bytes or more for each value, even one as short as "1", so a text of tiny
/// values would take many times its own size.
/// </summary>
internal static class JsonStructure
{
    /// <summary>
    /// Enough for a hundred thousand messages; no model's context holds even a tenth of that. Lists of numbers (embeddings, tokens) are not parsed into a
    /// document and not limited by this.
    /// </summary>
    public const int MostValues = 300_000;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <summary>
    /// True if an object of the text has two members of one name, so that two parsers may read different values. True also for text that is not JSON.
    /// </summary>
    public static bool IsAmbiguous(ReadOnlyMemory<byte> json)
    {
        try
        {
            JsonDocument.Parse(json, Strict).Dispose();
            return false;
        }
        catch (JsonException) // the parser throws this for two members of one name, and for invalid JSON
        {
            return true;
        }
    }

    /// <summary>True if there are more than <see cref="MostValues"/>. False for text that is not JSON; its parser reports that.</summary>
    public static bool IsTooMuch(ReadOnlySpan<byte> json)
    {
        // Every value except the first of a list or object follows a comma. Strings contain more of these characters, so this is an upper bound.
        if (json.Length / 2 < MostValues || json.Count((byte)',') + json.Count((byte)'[') + json.Count((byte)'{') < MostValues) return false;
        try
        {
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 1024 });
            for (var values = 0; values <= MostValues;)
            {
                if (!reader.Read()) return false;
                if (reader.TokenType is not (JsonTokenType.PropertyName or JsonTokenType.EndArray or JsonTokenType.EndObject)) values++;
            }

            return true;
        }
        catch (JsonException) // the reader throws this for invalid JSON
        {
            return false;
        }
    }
}
