using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>What the chunks of one stream have in common, made once: how each begins and ends, and how the stream does. Serves chat and completions.</summary>
internal sealed class OpenAiChunks(ReplyStamp stamp, string kind, Func<ReplyStamp, string> idOf)
{
    private readonly ArrayBufferWriter<byte> head = new(256);
    private Utf8JsonWriter? json;

    /// <summary>The writer for what stands between a chunk's beginning and its end. Reset it to the output first, and flush it.</summary>
    public Utf8JsonWriter Json => json ??= WireJson.NewWriter(head);

    public void Start(ChatEvent.Started? started)
    {
        head.Clear();
        head.Write("data: "u8);
        Json.Reset(head);
        Json.WriteStartObject();
        Json.WriteString("id"u8, started?.Id ?? idOf(stamp));
        Json.WriteString("object"u8, kind);
        Json.WriteNumber("created"u8, started?.Created ?? stamp.Created.ToUnixTimeSeconds());
        Json.WriteString("model"u8, stamp.Model);
        if (started?.Opaque.Member("system_fingerprint"u8) is { } fingerprint) Json.WriteAsItCame("system_fingerprint", fingerprint);
        Json.WriteStartArray("choices"u8);
        Json.Flush();
    }

    /// <summary>Up to the first choice.</summary>
    public void Begin(IBufferWriter<byte> output)
    {
        if (head.WrittenCount == 0) Start(null);
        output.Write(head.WrittenSpan);
    }

    /// <summary>After the last choice and the list's end.</summary>
    public void End(IBufferWriter<byte> output) => output.Write(stamp.IncludeUsage ? ",\"usage\":null}\n\n"u8 : "}\n\n"u8);

    public void EndStream(Usage? usage, IBufferWriter<byte> output)
    {
        if (stamp.IncludeUsage && usage is not null)
        {
            Begin(output);
            output.Write("],\"usage\":"u8);
            Json.Reset(output);
            OpenAiChatJson.WriteUsage(Json, usage);
            Json.Flush();
            output.Write("}\n\n"u8);
        }

        output.Write("data: "u8);
        output.Write(OpenAiChatJson.Done);
        output.Write("\n\n"u8);
    }
}
