using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// Payloads of SSE events named <c>error</c>, and of llama.cpp's field of that name. Hosts put a plain message or other JSON there, but every dialect
/// recognises an error as an object's member <c>error</c>.
/// </summary>
internal static class StreamError
{
    /// <summary>True if the payload itself already has the form of an error.</summary>
    public static bool IsOne(ReadOnlySpan<byte> payload)
    {
        try
        {
            var json = new Utf8JsonReader(payload);
            if (!json.Read() || json.TokenType is not JsonTokenType.StartObject) return false;
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("error"u8)) return true;
                var typed = json.ValueTextEquals("type"u8);
                json.Read();
                if (typed && json.TokenType is JsonTokenType.String && json.ValueTextEquals("error"u8)) return true;
                json.Skip();
            }
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // Utf8JsonReader throws these for invalid JSON
        {
            // Plain text.
        }

        return false;
    }

    /// <summary>Wraps the payload as the <c>error</c> member of an object, written into <paramref name="scratch"/>.</summary>
    public static ReadOnlySpan<byte> Wrap(ReadOnlySpan<byte> payload, PooledBody scratch)
    {
        var said = payload.ToArray(); // copied, because the payload may be in the scratch buffer
        scratch.Clear();
        scratch.Write("{\"error\":"u8);
        if (IsJson(said))
        {
            scratch.Write(said);
        }
        else
        {
            using var text = new Utf8JsonWriter(scratch);
            text.WriteStringValue(System.Text.Encoding.UTF8.GetString(said));
        }

        scratch.Write("}"u8);
        return scratch.Span;
    }

    private static bool IsJson(ReadOnlySpan<byte> said)
    {
        try
        {
            var json = new Utf8JsonReader(said);
            json.Read();
            json.Skip();
            return !json.Read();
        }
        catch (JsonException) // the reader throws this for invalid JSON
        {
            return false;
        }
    }
}
