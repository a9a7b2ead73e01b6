using System.Text.Json;

namespace Proxy.Chat;

/// <summary>
/// How many values a JSON text has. What is parsed takes a hundred bytes and more for each of them, be it as short as "1", so a text of tiny values would take many times its own size.
/// </summary>
internal static class JsonStructure
{
    /// <summary>A hundred thousand messages: no model's context takes so many, nor a tenth. Lists of numbers (embeddings, tokens) are not read this way.</summary>
    public const int MostValues = 300_000;

    /// <summary>Whether there are more than <see cref="MostValues"/>. False for what is no JSON: its reader says so.</summary>
    public static bool IsTooMuch(ReadOnlySpan<byte> json)
    {
        // Each value but the first of its list or object comes after a comma; in texts there are more of these signs.
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
        catch (JsonException) // the reader's only way to say no
        {
            return false;
        }
    }
}
