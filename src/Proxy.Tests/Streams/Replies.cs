using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Streams;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Streams;

/// <summary>Makes replies of scripted hosts and records what a client receives.</summary>
internal static class Replies
{
    public static readonly BackendDialect OpenAi = new OpenAiChatBackendDialect();
    public static readonly BackendDialect Ollama = new OllamaChatBackendDialect();

    public static BackendReply Of(ScriptedExchange exchange, string held = "", BackendDialect? dialect = null, bool complete = false, bool streams = true,
        long total = ReplyBody.Never, bool unaskedUsage = false, FrameBatch? frames = null)
    {
        var read = new PooledBody();
        read.Write(Encoding.UTF8.GetBytes(held));
        var reply = new BackendReply(exchange, read)
        {
            Status = 200, Backend = "gpu", ServedModel = "served", Dialect = dialect ?? OpenAi, Idle = TimeSpan.FromSeconds(60), Streams = streams,
            Complete = complete, Total = total, UnaskedUsage = unaskedUsage, Frames = frames,
        };
        reply.Bind(new Ended(), default);
        return reply;
    }

    /// <summary>Relays a reply. Returns everything that the client received, and how the generation ended.</summary>
    public static async Task<(string Sent, GenerationEnd Outcome)> RelayAsync(BackendReply reply, string? rename = null,
        string keepAlive = ": keep-alive\n\n", Followers? followers = null)
    {
        var sent = new MemoryStream();
        var output = PipeWriter.Create(sent);
        var edits = rename is null && !reply.UnaskedUsage ? null : new FrameEdits(rename, reply.UnaskedUsage ? reply.Dialect : null);
        using var sink = new VerbatimSink(reply, new Client(output, keepAlive), edits, holdsEnd: followers?.Gates.Length > 0);
        using var generation = new Generation(reply, sink, TimeSpan.FromSeconds(15), followers ?? Followers.None);
        var outcome = await generation.RunAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        await output.FlushAsync();
        return (Encoding.UTF8.GetString(sent.ToArray()), outcome);
    }

    /// <summary>The events of a reply. If it ends with an error, that is the last event; a keep-alive is <see cref="ChatEvent.Quiet"/>.</summary>
    public static async Task<List<ChatEvent>> ReadAsync(BackendReply reply)
    {
        var events = new List<ChatEvent>();
        var client = new Client(PipeWriter.Create(Stream.Null), ": k", () => events.Add(ChatEvent.Quiet.Now));
        using var generation = new Generation(reply, new TranslatingSink(reply, new Recorder(events), client, static _ => { }), TimeSpan.FromSeconds(15),
            Followers.None);
        var end = await generation.RunAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        if (end.Error is { } error) events.Add(new ChatEvent.Finished(FinishReason.Error, Error: error));
        return events;
    }

    /// <summary>The output stream to a client, already begun.</summary>
    public sealed class Client(PipeWriter writer, string keepAlive, Action? kept = null) : ClientOutput(writer)
    {
        public override bool KeepsAlive => keepAlive.Length > 0;

        public override void Begin() { }

        public override async ValueTask<bool> KeepAliveAsync()
        {
            kept?.Invoke();
            return !(await Writer.WriteAsync(Encoding.UTF8.GetBytes(keepAlive))).IsCompleted;
        }
    }

    private sealed class Recorder(List<ChatEvent> events) : EventWriter
    {
        public override void Write(ChatEvent happened, IBufferWriter<byte> output) => events.Add(happened);

        public override void End(IBufferWriter<byte> output) { }
    }

    private sealed class Ended : IDisposable
    {
        public void Dispose() { }
    }
}
