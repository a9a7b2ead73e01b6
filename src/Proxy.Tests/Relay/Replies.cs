using System.IO.Pipelines;
using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Relay;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Relay;

/// <summary>Replies of scripted hosts, and what a client sees of them.</summary>
internal static class Replies
{
    public static readonly BackendDialect OpenAi = new OpenAiChatBackendDialect();
    public static readonly BackendDialect Ollama = new OllamaChatBackendDialect();

    public static BackendReply Of(ScriptedExchange exchange, string held = "", BackendDialect? dialect = null, bool complete = false, bool streams = true,
        long total = ReplyBody.Never, bool unaskedUsage = false)
    {
        var read = new PooledBody();
        read.Write(Encoding.UTF8.GetBytes(held));
        var reply = new BackendReply(exchange, read)
        {
            Status = 200, Backend = "gpu", ServedModel = "served", Dialect = dialect ?? OpenAi, Idle = TimeSpan.FromSeconds(60), Streams = streams,
            Complete = complete, Total = total, UnaskedUsage = unaskedUsage,
        };
        reply.Bind(new Ended(), default);
        return reply;
    }

    /// <summary>Everything the client got, and how the relay ended.</summary>
    public static async Task<(string Sent, RelayOutcome Outcome)> RelayAsync(BackendReply reply, string? rename = null, string keepAlive = ": keep-alive\n\n")
    {
        var sent = new MemoryStream();
        var output = PipeWriter.Create(sent);
        using var held = reply;
        using var relay = new ByteRelay(reply, output,
            rename is null && !reply.UnaskedUsage ? null : new FrameEdits(rename, reply.UnaskedUsage ? reply.Dialect : null), Encoding.UTF8.GetBytes(keepAlive),
            TimeSpan.FromSeconds(15));
        var outcome = await relay.RunAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
        await output.FlushAsync();
        return (Encoding.UTF8.GetString(sent.ToArray()), outcome);
    }

    private sealed class Ended : IDisposable
    {
        public void Dispose() { }
    }
}
