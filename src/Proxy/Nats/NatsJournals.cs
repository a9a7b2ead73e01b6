using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using Proxy.Config;
using Proxy.Streams;

namespace Proxy.Nats;

/// <summary>
/// Shared journals in a JetStream stream: a subject for each answer (<c>jrn.chat.TRACE_ID</c>) and for each <c>Idempotency-Key</c> (<c>jrn.key.SHA256</c>). The
/// stream publishes what it has stored to <c>live.chat.TRACE_ID</c>, so that followers need no consumer and see nothing that was refused.
/// </summary>
internal sealed class NatsJournals : ISharedJournals
{
    private const string DoHeader = "Proxy-Do";

    /// <summary>Room for the subject, the headers and what the server adds to them.</summary>
    private const int Envelope = 1024;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan Patience = StoredMessages.Patience;

    private readonly string process = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    private readonly string prefix;
    private readonly NatsLink link;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly JetStream stream;
    private readonly StoredMessages stored;
    private readonly StreamPlan plan;
    private volatile bool isThere;
    private volatile string? missing;

    public NatsJournals(NatsConfig config, NatsLink link, ILogger log, TimeProvider time)
    {
        (this.link, this.log, this.time) = (link, log, time);
        prefix = config.Prefix.Length == 0 ? "" : config.Prefix + ".";
        var suffix = config.Prefix.Length == 0 ? "" : "_" + config.Prefix.Replace('.', '_');
        stream = new JetStream(link.Connection);
        plan = new($"PROXY_JOURNAL{suffix}", [$"{prefix}jrn.chat.*", $"{prefix}jrn.key.*"], TimeSpan.FromHours(1), 4L << 30)
        {
            DuplicateWindow = TimeSpan.FromSeconds(1),
            Republish = ($"{prefix}jrn.chat.*", $"{prefix}live.chat.{{{{wildcard(1)}}}}"),
        };
        stored = new(link, plan.Name, time);
    }

    public Func<string, string, OwnerAsk, bool> Asked { private get; set; } = static (_, _, _) => false;

    public bool IsUsable => isThere && link.IsUp;

    public bool IsMissing => missing is not null;

    public int LargestData => link.MaxPayload - Envelope;

    /// <summary>Looks for the stream and creates it if it is missing.</summary>
    public async Task EnsureAsync()
    {
        while (link.IsUp && !await IsSettledAsync().ConfigureAwait(false)) await Task.Delay(Pause, time).ConfigureAwait(false);
    }

    /// <summary>Answers the questions of other proxies until it is cancelled.</summary>
    public async Task ListenAsync(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                var questions = link.Connection.SubscribeAsync(
                    $"{prefix}ctl.chat.*", serializer: NatsRawSerializer<byte[]>.Default, cancellationToken: cancellation);
                await foreach (var question in questions.ConfigureAwait(false)) await AnswerAsync(question).ConfigureAwait(false);
            }
            catch (Exception problem) when (problem is NatsException or OperationCanceledException or IOException)
            {
                await Task.Delay(Pause, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    public Task<(AppendResult Result, ulong Sequence)> AppendAsync(
        string traceId, SharedKind kind, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation) =>
        AppendToAsync(Chat(traceId), kind.ToString().ToLowerInvariant(), data, last, cancellation);

    public Task<SharedMessage?> FirstAsync(string traceId, ulong from, CancellationToken cancellation) =>
        stored.OneAsync($$"""{"seq":{{Math.Max(1, from)}},"next_by_subj":"{{Chat(traceId)}}"}""", cancellation);

    public Task<SharedMessage?> LastAsync(string traceId, CancellationToken cancellation) => LastOfAsync(Chat(traceId), cancellation);

    public async Task<AppendResult> ClaimKeyAsync(string owner, string key, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation) =>
        (await AppendToAsync(Key(owner, key), "key", data, last, cancellation).ConfigureAwait(false)).Result;

    public Task<SharedMessage?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => LastOfAsync(Key(owner, key), cancellation);

    public async IAsyncEnumerable<SharedMessage?> FollowAsync(string traceId, TimeSpan quiet, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var live = await SubscribedAsync(traceId, cancellation).ConfigureAwait(false);
        await foreach (var message in stored.FollowAsync(live, Chat(traceId), isBegun: true, quiet, cancellation).ConfigureAwait(false)) yield return message;
    }

    public async Task<bool> AskOwnerAsync(string traceId, string owner, OwnerAsk ask, CancellationToken cancellation)
    {
        var subject = $"{prefix}ctl.chat.{traceId}";
        var headers = new NatsHeaders(1) { [DoHeader] = ask is OwnerAsk.Cancel ? "cancel" : "go-on" };
        try
        {
            if (ask is not OwnerAsk.Cancel)
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
                patience.CancelAfter(Patience);
                await link.Connection.PublishAsync(
                    subject, Encoding.UTF8.GetBytes(owner), headers, serializer: NatsRawSerializer<byte[]>.Default, cancellationToken: patience.Token)
                    .ConfigureAwait(false);
                return true;
            }

            await link.Connection.RequestAsync(
                subject, Encoding.UTF8.GetBytes(owner), headers, NatsRawSerializer<byte[]>.Default, NatsRawSerializer<byte[]>.Default,
                replyOpts: new() { Timeout = Patience }, cancellationToken: cancellation).ConfigureAwait(false);
            return true;
        }
        catch (Exception silent) when (silent is NatsException || StoredMessages.IsTimeout(silent, cancellation))
        {
            return false;
        }
    }

    private static string Quoted(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private string Chat(string traceId) => $"{prefix}jrn.chat.{traceId}";

    private string Key(string owner, string key) => $"{prefix}jrn.key.{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{owner}\n{key}")))}";

    private async ValueTask AnswerAsync(NatsMsg<byte[]> question)
    {
        var traceId = question.Subject[(question.Subject.LastIndexOf('.') + 1)..];
        if (question.Headers is not { } headers || !headers.TryGetLastValue(DoHeader, out var what)) return;
        OwnerAsk? ask = what switch { "cancel" => OwnerAsk.Cancel, "go-on" => OwnerAsk.GoOn, _ => null };
        if (ask is not { } known || !Asked(traceId, Encoding.UTF8.GetString(question.Data ?? []), known) || question.ReplyTo is null) return;
        await question.ReplyAsync(Array.Empty<byte>(), serializer: NatsRawSerializer<byte[]>.Default).ConfigureAwait(false);
    }

    /// <summary>Confirmed by a round trip: the server publishes to it what is stored from now on.</summary>
    private async Task<INatsSub<byte[]>> SubscribedAsync(string traceId, CancellationToken cancellation)
    {
        var live = await link.SubscribeAsync($"{prefix}live.chat.{traceId}", StoredMessages.Capacity, cancellation).ConfigureAwait(false);
        try
        {
            if (link.IsUp) await link.Connection.PingAsync(cancellation).AsTask().WaitAsync(Patience, time, cancellation).ConfigureAwait(false);
        }
        catch (Exception away) when (away is NatsException or TimeoutException)
        {
            // The messages since then are found as a gap.
        }

        return live;
    }

    private Task<SharedMessage?> LastOfAsync(string subject, CancellationToken cancellation) =>
        stored.OneAsync($$"""{"last_by_subj":{{Quoted(subject)}}}""", cancellation);

    private async Task<(AppendResult Result, ulong Sequence)> AppendToAsync(
        string subject, string kind, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        var headers = new NatsHeaders(3)
        {
            [StoredMessages.KindHeader] = kind,
            [StoredMessages.MarkHeader] = Mark(last),
            ["Nats-Expected-Last-Subject-Sequence"] = last.ToString(CultureInfo.InvariantCulture),
        };
        try
        {
            return (AppendResult.Stored, await stream.PublishAsync(subject, data, headers, patience.Token).ConfigureAwait(false));
        }
        catch (JetStreamException refused) when (refused.Code is JetStreamException.WrongLastSequence)
        {
            return await WhoseAsync(subject, data, last, cancellation).ConfigureAwait(false);
        }
        catch (JetStreamException refused)
        {
            throw new SharedJournalException(refused.Message, refused);
        }
        catch (Exception problem) when (problem is NatsException or IOException || StoredMessages.IsTimeout(problem, cancellation))
        {
            throw new SharedJournalException("NATS does not answer", problem);
        }
    }

    /// <summary>An append was refused: perhaps it was stored before, and only the server's answer was lost.</summary>
    private async Task<(AppendResult Result, ulong Sequence)> WhoseAsync(
        string subject, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation)
    {
        if (await LastOfAsync(subject, cancellation).ConfigureAwait(false) is not { } there) return (AppendResult.Lost, 0);
        if (there.Mark == Mark(last) && there.Data.Span.SequenceEqual(data.Span)) return (AppendResult.Stored, there.Sequence);
        return (there.Sequence < last ? AppendResult.Lost : AppendResult.Taken, there.Sequence);
    }

    private string Mark(ulong last) => $"{process}/{last.ToString(CultureInfo.InvariantCulture)}";

    /// <summary>False: the server did not answer.</summary>
    private async Task<bool> IsSettledAsync()
    {
        try
        {
            var there = await stream.EnsureAsync(plan, CancellationToken.None).ConfigureAwait(false);
            if (there.IsNew) log.StreamCreated(plan.Name, string.Join(", ", plan.Subjects));
            else if (there.Differences is not null && !isThere) log.StreamDiffers(plan.Name, there.Differences);
            (isThere, missing) = (true, null);
            return true;
        }
        catch (Exception refused) when (refused is JetStreamException or JsonException)
        {
            if (isThere) return false; // a server that has just started again
            if (missing != refused.Message) log.NoSharedJournal(refused.Message);
            missing = refused.Message;
            return true;
        }
        catch (Exception problem) when (problem is NatsException or OperationCanceledException)
        {
            return false;
        }
    }
}
