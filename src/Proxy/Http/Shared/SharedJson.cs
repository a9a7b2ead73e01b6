using System.Buffers;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Streams;

namespace Proxy.Http.Shared;

/// <summary>
/// The JSON objects in messages of shared journals. Proxies of the next and of the last version read them too: members are only added, and unknown ones are
/// skipped.
/// </summary>
internal static class SharedJson
{
    public static void WriteOrigin(IBufferWriter<byte> output, JournalOrigin origin) => Write(output, json => JournalJson.WriteOrigin(json, origin));

    public static JournalOrigin? ReadOrigin(SharedMessage message) => TryParse(message, out var said) ? JournalJson.ReadOrigin(said) : null;

    public static void WriteHead(IBufferWriter<byte> output, AnswerHead head) => Write(output, json =>
    {
        JournalJson.WriteHead(json, head);
        if (head.Stamp.Terms is not { } terms) return;
        json.WriteBoolean("stored", terms.IsStored);
        json.WriteBoolean("background", terms.IsBackground);
        json.WriteString("previous", terms.Previous);
    });

    public static AnswerHead? ReadHead(SharedMessage message, ChatRequest? request)
    {
        if (!TryParse(message, out var said) || JournalJson.ReadHead(said, request) is not { } head) return null;
        if (!said.TryGetProperty("stored"u8, out _)) return head;
        var terms = new KeepingTerms(JournalJson.Flag(said, "stored"), JournalJson.Flag(said, "background"), JournalJson.Text(said, "previous"));
        return head with { Stamp = head.Stamp with { Terms = terms } };
    }

    /// <param name="output">Gets the object.</param>
    /// <param name="end">How the answer ended.</param>
    /// <param name="isAnswer">It is the answer to its key.</param>
    public static void WriteEnd(IBufferWriter<byte> output, GenerationEnd end, bool isAnswer) => Write(output, json =>
    {
        JournalJson.WriteEnd(json, end);
        json.WriteBoolean("answer", isAnswer);
    });

    public static (GenerationEnd End, bool IsAnswer) ReadEnd(SharedMessage message) =>
        TryParse(message, out var said) ? (JournalJson.ReadEnd(said), JournalJson.Flag(said, "answer")) : (SharedJournals.Broken, false);

    private static bool TryParse(SharedMessage message, out JsonElement said)
    {
        said = default;
        try
        {
            said = WireJson.Parse(message.Data.Span);
            return said.ValueKind is JsonValueKind.Object;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void Write(IBufferWriter<byte> output, Action<Utf8JsonWriter> write)
    {
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        write(json);
        json.WriteEndObject();
    }
}
