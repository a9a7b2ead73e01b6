using System.Runtime.InteropServices;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Nats;

/// <summary>A call's messages and its answer, in the form of OpenAI's chat whatever dialect the client speaks.</summary>
/// <param name="dialect">The client's dialect.</param>
/// <param name="body">The client's request.</param>
internal sealed class Conversation(ClientDialect dialect, byte[] body)
{
    public AnswerTexts Answer { get; } = new();

    /// <summary>The memory that it holds.</summary>
    public long Size => body.Length + (2L * Answer.Length);

    /// <summary>The request's messages. Null if the request cannot be read; the host may have understood it all the same.</summary>
    public IReadOnlyList<JsonElement>? ReadMessages()
    {
        if (body.Length == 0 || JsonStructure.IsTooMuch(body)) return null;
        if (dialect.ReadRequest(body, out var request) is not null) return null;
        using var written = new PooledBody(body.Length + 64);
        OpenAiChatRequestWriter.Write(request!, request!.Model, written, []);
        return [.. WireJson.Parse(written.Span).GetProperty("messages"u8).EnumerateArray()];
    }

    /// <summary>Writes the members <c>messages</c> and <c>answers</c> into an object that is open.</summary>
    public void Write(Utf8JsonWriter json, IReadOnlyList<JsonElement>? messages)
    {
        Write(json, messages, 0);
        json.WritePropertyName("answers"u8);
        Answer.Write(json);
    }

    /// <summary>The same in at most about <paramref name="most"/> bytes: the beginning of the answers, and the last messages that still fit.</summary>
    public void WriteCut(Utf8JsonWriter json, IReadOnlyList<JsonElement>? messages, int most)
    {
        var before = json.BytesCommitted + json.BytesPending;
        json.WritePropertyName("answers"u8);
        Answer.Write(json, most / 16); // a character takes up to six bytes, and there may be several texts
        var room = most - (json.BytesCommitted + json.BytesPending - before);
        var from = messages?.Count ?? 0;
        while (from > 0 && JsonMarshal.GetRawUtf8Value(messages![from - 1]).Length + 1 is var length && length < room)
        {
            room -= length;
            from--;
        }

        Write(json, messages, from);
    }

    private static void Write(Utf8JsonWriter json, IReadOnlyList<JsonElement>? messages, int from)
    {
        if (messages is null) return;
        json.WriteStartArray("messages"u8);
        foreach (var message in messages.Skip(from)) json.WriteAsItCame(message);
        json.WriteEndArray();
    }
}
