using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Buffers;

namespace Proxy.Nats;

/// <summary>How a stream is created. Sizes in bytes.</summary>
/// <param name="Name">The stream's name.</param>
/// <param name="Subjects">What it keeps.</param>
/// <param name="MaxAge">How long it keeps a message.</param>
/// <param name="MaxBytes">Above this, the oldest messages go.</param>
internal sealed record StreamPlan(string Name, IReadOnlyList<string> Subjects, TimeSpan MaxAge, long MaxBytes)
{
    /// <summary>How long the server remembers a <c>Nats-Msg-Id</c>. Each costs it memory for that long.</summary>
    public TimeSpan DuplicateWindow { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>A message may replace all earlier ones of its subject, as an object store's descriptions do.</summary>
    public bool AllowRollup { get; init; }

    /// <summary>
    /// Each message is for one consumer and goes when that has acknowledged it; a full stream refuses new messages, and messages may say how long they live, if
    /// the server can do that (2.11).
    /// </summary>
    public bool IsQueue { get; init; }

    /// <summary>Under which subject the stream publishes what it has stored, and from which one; null: it does not.</summary>
    public (string From, string To)? Republish { get; init; }
}

/// <summary>A stream that is there.</summary>
/// <param name="IsNew">It was created just now.</param>
/// <param name="Differences">How it differs from its plan; null: it does not.</param>
/// <param name="Created">When it was created, by the server's clock: another time is another stream, which numbers its messages anew.</param>
/// <param name="IsRepublished">It publishes what it has stored, if that is planned.</param>
/// <param name="HasTtl">A message may say how long it lives.</param>
internal sealed record KeptStream(bool IsNew, string? Differences, string Created, bool IsRepublished, bool HasTtl);

/// <summary>JetStream refused, or is not there. <paramref name="Code"/> is its <c>err_code</c>, 0 if it gave none.</summary>
internal sealed class JetStreamException(string message, int code) : Exception(message)
{
    public const int NoSuchStream = 10059;

    public const int NoSuchConsumer = 10014;

    /// <summary>The subject's last message is not the one that was expected.</summary>
    public const int WrongLastSequence = 10071;

    public int Code => code;
}

/// <summary>
/// The requests of JetStream that the proxy needs, over the core client. The vendor's own JetStream client costs four times the processor and 2.3 MB of
/// program.
/// The API: https://docs.nats.io/reference/reference-protocols/nats_api_reference
/// </summary>
internal sealed class JetStream(INatsConnection connection)
{
    private const string Api = "$JS.API.";

    private static readonly NatsRawSerializer<byte[]> Replies = NatsRawSerializer<byte[]>.Default;

    /// <summary>A stream's configuration and when it was created, as the server reports them; null if there is no such stream.</summary>
    public async Task<JsonElement?> FindStreamAsync(string name, CancellationToken cancellation)
    {
        try
        {
            return await AskAsync($"STREAM.INFO.{name}", default, cancellation).ConfigureAwait(false);
        }
        catch (JetStreamException refused) when (refused.Code is JetStreamException.NoSuchStream)
        {
            return null;
        }
    }

    /// <summary>Creates a stream in files that drops its oldest messages when it is full, or a queue.</summary>
    private async Task<JsonElement> CreateStreamAsync(StreamPlan plan, CancellationToken cancellation)
    {
        using var body = new PooledBody(512);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("name"u8, plan.Name);
            json.WriteStartArray("subjects"u8);
            foreach (var subject in plan.Subjects) json.WriteStringValue(subject);
            json.WriteEndArray();
            json.WriteString("storage"u8, "file"u8);
            json.WriteString("retention"u8, plan.IsQueue ? "workqueue"u8 : "limits"u8);
            json.WriteString("discard"u8, plan.IsQueue ? "new"u8 : "old"u8);
            if (plan.IsQueue) json.WriteBoolean("allow_msg_ttl"u8, true); // older servers skip it
            json.WriteNumber("max_age"u8, Nanoseconds(plan.MaxAge));
            json.WriteNumber("max_bytes"u8, plan.MaxBytes);
            json.WriteNumber("duplicate_window"u8, Nanoseconds(plan.DuplicateWindow));
            json.WriteNumber("num_replicas"u8, 1);
            json.WriteBoolean("allow_direct"u8, true);
            if (plan.AllowRollup) json.WriteBoolean("allow_rollup_hdrs"u8, true);
            if (plan.Republish is { } again)
            {
                json.WriteStartObject("republish"u8);
                json.WriteString("src"u8, again.From);
                json.WriteString("dest"u8, again.To);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        return await AskAsync($"STREAM.CREATE.{plan.Name}", body.Memory, cancellation).ConfigureAwait(false);
    }

    /// <summary>Creates the stream unless there is one of its name.</summary>
    public async Task<KeptStream> EnsureAsync(StreamPlan plan, CancellationToken cancellation)
    {
        var there = await FindStreamAsync(plan.Name, cancellation).ConfigureAwait(false);
        var info = there ?? await CreateStreamAsync(plan, cancellation).ConfigureAwait(false);
        var created = info.TryGetProperty("created"u8, out var when) ? when.GetString() : null;
        var config = info.GetProperty("config"u8);
        var hasTtl = config.TryGetProperty("allow_msg_ttl"u8, out var ttl) && ttl.ValueKind is JsonValueKind.True;
        return new(there is null, there is null ? null : Differences(plan, config), created ?? "", IsRepublished(plan, config), hasTtl);
    }

    /// <summary>A consumer as the server reports it; null if there is no such consumer.</summary>
    public async Task<JsonElement?> FindConsumerAsync(string stream, string name, CancellationToken cancellation)
    {
        try
        {
            return await AskAsync($"CONSUMER.INFO.{stream}.{name}", default, cancellation).ConfigureAwait(false);
        }
        catch (JetStreamException refused) when (refused.Code is JetStreamException.NoSuchConsumer)
        {
            return null;
        }
    }

    /// <summary>Creates a durable consumer from which workers pull what they acknowledge one by one.</summary>
    public Task CreateConsumerAsync(string stream, string name, string subject, TimeSpan ackWait, int deliveries, CancellationToken cancellation) =>
        AskAsync($"CONSUMER.DURABLE.CREATE.{stream}.{name}", Encoding.UTF8.GetBytes($$$"""
            {"stream_name":"{{{stream}}}","config":{"durable_name":"{{{name}}}","filter_subject":"{{{subject}}}","deliver_policy":"all","ack_policy":"explicit",
            "ack_wait":{{{Nanoseconds(ackWait)}}},"max_deliver":{{{deliveries}}}}}
            """), cancellation);

    /// <summary>Takes a message out of a stream. Does nothing if it is not there.</summary>
    public Task DeleteAsync(string stream, ulong sequence, CancellationToken cancellation) =>
        AskAsync($"STREAM.MSG.DELETE.{stream}", Encoding.UTF8.GetBytes($$"""{"seq":{{sequence}},"no_erase":true}"""), cancellation);

    /// <summary>Has a stream send its messages to a subject, those that it keeps and those to come, for as long as there is a subscriber.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="filter">Which of its subjects.</param>
    /// <param name="to">Where it sends them.</param>
    /// <param name="from">Only messages from then on; null: all.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task DeliverAsync(string stream, string filter, string to, DateTimeOffset? from, CancellationToken cancellation)
    {
        using var body = new PooledBody(512);
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            json.WriteString("stream_name"u8, stream);
            json.WriteStartObject("config"u8);
            json.WriteString("deliver_subject"u8, to);
            json.WriteString("filter_subject"u8, filter);
            json.WriteString("ack_policy"u8, "none"u8);
            json.WriteString("deliver_policy"u8, from is null ? "all"u8 : "by_start_time"u8);
            if (from is { } time) json.WriteString("opt_start_time"u8, time.UtcDateTime);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        await AskAsync($"CONSUMER.CREATE.{stream}", body.Memory, cancellation).ConfigureAwait(false);
    }

    /// <summary>Publishes and waits until a stream has stored the message. Returns its number there.</summary>
    public async Task<ulong> PublishAsync(string subject, ReadOnlyMemory<byte> data, NatsHeaders? headers, CancellationToken cancellation)
    {
        return (await RequestAsync(subject, data, headers, cancellation).ConfigureAwait(false)).GetProperty("seq"u8).GetUInt64();
    }

    /// <summary>
    /// Stored messages, each with its number in the header <c>Nats-Sequence</c>. None: there is no such message.
    /// </summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="which">The question as JSON: https://docs.nats.io/reference/reference-protocols/nats_api_reference</param>
    /// <param name="most">
    /// More than 1: the question has a <c>batch</c>. Servers before 2.11 ignore that and send one message, without <c>Nats-Num-Pending</c>.
    /// </param>
    /// <param name="cancellation">Gives up.</param>
    public async IAsyncEnumerable<NatsMsg<byte[]>> ReadAsync(
        string stream, string which, int most, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var replies = connection.RequestManyAsync(
            $"{Api}DIRECT.GET.{stream}", Encoding.UTF8.GetBytes(which), replySerializer: Replies,
            replyOpts: new() { MaxMsgs = most + 1, ThrowIfNoResponders = true }, requestSerializer: NatsRawSerializer<byte[]>.Default,
            cancellationToken: cancellation);
        await foreach (var reply in replies.ConfigureAwait(false))
        {
            if (reply.Headers is not { } headers || !headers.ContainsKey("Nats-Sequence")) yield break; // 404, or the end of a batch
            yield return reply;
            if (most == 1 || !headers.ContainsKey("Nats-Num-Pending")) yield break;
        }
    }

    private static long Nanoseconds(TimeSpan time) => time.Ticks * 100;

    /// <summary>Only what the proxy relies on is compared: other settings are the operator's.</summary>
    private static string? Differences(StreamPlan plan, JsonElement there)
    {
        var found = new List<string>();
        if (there.TryGetProperty("max_age"u8, out var age) && age.GetInt64() != Nanoseconds(plan.MaxAge)
            && !(plan.IsQueue && (age.GetInt64() == 0 || age.GetInt64() > Nanoseconds(plan.MaxAge)))) // jobs have a deadline of their own
            found.Add($"it keeps messages for {(age.GetInt64() == 0 ? "ever" : TimeSpan.FromTicks(age.GetInt64() / 100).ToString("c"))}, not {plan.MaxAge:c}");
        if (there.TryGetProperty("max_bytes"u8, out var bytes) && bytes.GetInt64() != plan.MaxBytes)
            found.Add($"it keeps {(bytes.GetInt64() < 0 ? "any number of" : bytes.GetInt64())} bytes, not {plan.MaxBytes}");
        if (plan.IsQueue && there.TryGetProperty("retention"u8, out var kind) && kind.GetString() != "workqueue")
            found.Add("it keeps messages that were acknowledged");
        if (!plan.IsQueue && there.TryGetProperty("discard"u8, out var discard) && discard.GetString() != "old")
            found.Add("it refuses new messages when it is full");
        var subjects = there.TryGetProperty("subjects"u8, out var list) ? list.EnumerateArray().Select(static one => one.GetString()).ToArray() : [];
        if (!IsRepublished(plan, there)) found.Add($"it does not publish to {plan.Republish?.To} what it has stored");
        if (!plan.Subjects.All(subjects.Contains)) found.Add($"it keeps {string.Join(", ", subjects)}, not {string.Join(", ", plan.Subjects)}");
        return found.Count == 0 ? null : string.Join("; ", found);
    }

    /// <summary>The stream publishes what it has stored to where the plan says, or the plan says nowhere.</summary>
    private static bool IsRepublished(StreamPlan plan, JsonElement there) => plan.Republish is not { } again
        || (there.TryGetProperty("republish"u8, out var live) && live.GetProperty("dest"u8).GetString() == again.To);

    private Task<JsonElement> AskAsync(string what, ReadOnlyMemory<byte> body, CancellationToken cancellation) =>
        RequestAsync(Api + what, body, null, cancellation);

    private async Task<JsonElement> RequestAsync(string subject, ReadOnlyMemory<byte> body, NatsHeaders? headers, CancellationToken cancellation)
    {
        byte[] data;
        try
        {
            var reply = await connection.RequestAsync(
                subject, body, headers, NatsRawSerializer<ReadOnlyMemory<byte>>.Default, Replies, cancellationToken: cancellation).ConfigureAwait(false);
            data = reply.Data ?? [];
        }
        catch (NatsNoRespondersException)
        {
            throw new JetStreamException("the server has no JetStream, or none for this account", 0);
        }

        var said = JsonElement.Parse(data);
        if (!said.TryGetProperty("error"u8, out var error)) return said;
        var code = error.TryGetProperty("err_code"u8, out var number) ? number.GetInt32() : 0;
        throw new JetStreamException(error.TryGetProperty("description"u8, out var text) ? text.GetString()! : Encoding.UTF8.GetString(data), code);
    }
}
