using System.Globalization;
using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>A job that a worker of the test has taken. The test says its events.</summary>
internal sealed class PulledJob(NatsConnection connection, NatsMsg<byte[]> message, JsonElement document, int attempt)
{
    private int seq;

    public JsonElement Document => document;

    public NatsHeaders Headers => message.Headers ?? [];

    public int Attempt => attempt;

    public string TraceId => document.GetProperty("trace_id").GetString()!;

    /// <summary>Waits for a job. Null: there is none.</summary>
    public static async Task<PulledJob?> TakeAsync(
        NatsConnection connection, string pipeline, double seconds = 10, CancellationToken cancellation = default)
    {
        // Below the client's own inbox it would look for the subject of the request, but a job comes under its own.
        var inbox = $"worker.{Guid.NewGuid():N}";
        await using var replies = await connection.SubscribeCoreAsync<byte[]>(inbox, cancellationToken: cancellation);
        await connection.PublishAsync($"$JS.API.CONSUMER.MSG.NEXT.PROXY_JOBS.{pipeline}",
            Encoding.UTF8.GetBytes($$"""{"batch":1,"expires":{{(long)(seconds * 1e9)}}}"""), replyTo: inbox, cancellationToken: cancellation);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(TimeSpan.FromSeconds(seconds + 10));
        NatsMsg<byte[]> reply;
        try
        {
            reply = await replies.Msgs.ReadAsync(patience.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }

        if (reply.ReplyTo is not { } ack || !ack.StartsWith("$JS.ACK.", StringComparison.Ordinal)) return null;
        var words = ack.Split('.');
        return new(connection, reply, JsonElement.Parse(reply.Data), int.Parse(words[words.Length < 11 ? 4 : 6], CultureInfo.InvariantCulture));
    }

    public Task TokenAsync(string text, CancellationToken cancellation = default) =>
        SayAsync($"\"type\":\"token\",\"text\":{OpenAi.Quote(text)}", cancellation);

    public Task FinishedAsync(CancellationToken cancellation = default) => SayAsync("\"type\":\"finished\",\"reason\":\"stop\"", cancellation);

    /// <summary>Publishes an event until the stream has it.</summary>
    public async Task SayAsync(string members, CancellationToken cancellation = default)
    {
        var number = ++seq;
        var data = Encoding.UTF8.GetBytes($$"""{{{members}},"seq":{{number}},"attempt":{{attempt}}}""");
        while (true)
        {
            try
            {
                var reply = await connection.RequestAsync<byte[], byte[]>(
                    document.GetProperty("reply").GetString()!, data, new NatsHeaders { ["Nats-Msg-Id"] = $"{TraceId}/{attempt}/{number}" },
                    replyOpts: new() { Timeout = TimeSpan.FromSeconds(2) }, cancellationToken: cancellation);
                if (!JsonElement.Parse(reply.Data).TryGetProperty("error", out _)) return;
            }
            catch (NatsException)
            {
                // NATS is away, or starting.
            }

            await Task.Delay(100, cancellation);
        }
    }

    /// <summary>Says that it is still at work.</summary>
    public ValueTask WorkingAsync(CancellationToken cancellation = default) => AnswerAsync("+WPI", cancellation);

    public ValueTask AcknowledgeAsync(CancellationToken cancellation = default) => AnswerAsync("+ACK", cancellation);

    /// <summary>Gives it back, so that another worker gets it at once.</summary>
    public ValueTask RefuseAsync(CancellationToken cancellation = default) => AnswerAsync("-NAK", cancellation);

    private ValueTask AnswerAsync(string word, CancellationToken cancellation) =>
        connection.PublishAsync(message.ReplyTo!, Encoding.ASCII.GetBytes(word), cancellationToken: cancellation);
}
