using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Chat;

/// <summary>
/// What an SSE event carries that is called <c>error</c>, or stands in llama.cpp's field of that name. Hosts put a bare message there, or a text; every dialect knows it as a failure when it is
/// an object's <c>error</c>.
/// </summary>
internal static class StreamError
{
    /// <summary>Whether the payload says by itself that it is an error.</summary>
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
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // how the reader says that it is no JSON
        {
            // A text.
        }

        return false;
    }

    /// <summary>The payload as the error of an object, in <paramref name="scratch"/>.</summary>
    public static ReadOnlySpan<byte> Wrap(ReadOnlySpan<byte> payload, PooledBody scratch)
    {
        var said = payload.ToArray(); // it may stand in the scratch
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
        catch (JsonException) // the reader's only way to say no
        {
            return false;
        }
    }
}
