using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>What the chunks of one stream have in common, made once: how each begins and ends, and how the stream does. Serves chat and completions.</summary>
internal sealed class OpenAiChunks(ReplyStamp stamp, string kind, Func<ReplyStamp, string> idOf)
{
    private readonly ArrayBufferWriter<byte> head = new(256);
    private Utf8JsonWriter? json;
    private Usage? usage;
    private ProxyNote note;
    private bool failed;

    /// <summary>The writer for what stands between a chunk's beginning and its end. Reset it to the output first, and flush it.</summary>
    public Utf8JsonWriter Json => json ??= WireJson.NewWriter(head);

    /// <summary>Writes what both say alike; false for an event that each says in its own way. After a failure nothing more is said.</summary>
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

    /// <summary>Up to the first choice.</summary>
    public void Begin(IBufferWriter<byte> output)
    {
        if (head.WrittenCount == 0) Start(null);
        output.Write(head.WrittenSpan);
    }

    /// <summary>After the last choice and the list's end, in the chunk that says why a choice finished.</summary>
    public void EndLast(IBufferWriter<byte> output)
    {
        if (!note.SaysNothing(stamp))
        {
            output.Write(","u8);
            Json.Reset(output);
            note.Write(Json, stamp);
            Json.Flush();
        }

        End(output);
    }

    /// <summary>After the last choice and the list's end.</summary>
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
