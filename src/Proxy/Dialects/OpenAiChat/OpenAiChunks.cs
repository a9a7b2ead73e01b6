using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// The parts that all chunks of a stream share: the beginning and end of a chunk, composed once, and the end of the stream. For chat and completions.
/// </summary>
internal sealed class OpenAiChunks(ReplyStamp stamp, string kind, Func<ReplyStamp, string> idOf)
{
    private readonly ArrayBufferWriter<byte> head = new(256);
    private Utf8JsonWriter? json;
    private Usage? usage;
    private ProxyNote note = new(stamp);
    private bool failed;

    /// <summary>The writer for the content between a chunk's beginning and its end. Callers reset it to the output first and flush it afterwards.</summary>
    public Utf8JsonWriter Json => json ??= WireJson.NewWriter(head);

    /// <summary>
    /// Writes the events that chat and completions write in the same way. False for any other event. After a failure nothing more is written.
    /// </summary>
    public bool TryWrite(ChatEvent happened, IBufferWriter<byte> output)
    {
        note.See(happened);
        switch (happened)
        {
            case var _ when failed:
                break;
            case ChatEvent.Started started:
                Start(started);
                break;
            case ChatEvent.UsageReported reported:
                usage = reported.Usage;
                break;
            case ChatEvent.Finished { Error: { } error }:
                failed = true;
                OpenAiChatErrors.WriteToStream(error, output);
                break;
            case ChatEvent.Quiet:
                output.Write(OpenAiChatClientDialect.Comment);
                break;
            default:
                return false;
        }

        return true;
    }

    private void Start(ChatEvent.Started? started)
    {
        head.Clear();
        head.Write("data: "u8);
        Json.Reset(head);
        OpenAiChatJson.WriteHead(Json, started?.Id ?? idOf(stamp), kind, started?.Created, started?.Opaque, stamp);
        Json.Flush();
    }

    /// <summary>Writes the beginning of a chunk, up to the first choice.</summary>
    public void Begin(IBufferWriter<byte> output)
    {
        if (head.WrittenCount == 0) Start(null);
        output.Write(head.WrittenSpan);
    }

    /// <summary>Writes the end of the chunk that has a choice's finish reason.</summary>
    public void EndLast(IBufferWriter<byte> output)
    {
        if (!note.IsEmpty)
        {
            output.Write(","u8);
            Json.Reset(output);
            note.Write(Json);
            Json.Flush();
        }

        End(output);
    }

    /// <summary>Writes the end of a chunk, after its list of choices.</summary>
    public void End(IBufferWriter<byte> output) => output.Write(stamp.IncludeUsage ? ",\"usage\":null}\n\n"u8 : "}\n\n"u8);

    public void EndStream(IBufferWriter<byte> output)
    {
        if (failed) return;
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
