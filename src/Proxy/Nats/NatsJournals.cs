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
    private const string KindHeader = "Proxy-Kind", MarkHeader = "Proxy-Mark", DoHeader = "Proxy-Do", SequenceHeader = "Nats-Sequence";

    /// <summary>Room for the subject, the headers and what the server adds to them.</summary>
    private const int Envelope = 1024;

    private const int Batch = 64;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>How long the server may take for one question.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private readonly string process = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    private readonly string prefix;
    private readonly NatsLink link;
    private readonly ILogger log;
    private readonly TimeProvider time;
    private readonly JetStream stream;
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
        OneAsync($$"""{"seq":{{Math.Max(1, from)}},"next_by_subj":"{{Chat(traceId)}}"}""", cancellation);

    public Task<SharedMessage?> LastAsync(string traceId, CancellationToken cancellation) => LastOfAsync(Chat(traceId), cancellation);

    public async Task<AppendResult> ClaimKeyAsync(string owner, string key, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation) =>
        (await AppendToAsync(Key(owner, key), "key", data, last, cancellation).ConfigureAwait(false)).Result;

    public Task<SharedMessage?> FindKeyAsync(string owner, string key, CancellationToken cancellation) => LastOfAsync(Key(owner, key), cancellation);

    public async IAsyncEnumerable<SharedMessage?> FollowAsync(string traceId, TimeSpan quiet, [EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var live = await SubscribedAsync(traceId, cancellation).ConfigureAwait(false);
        var last = 0UL;
        Task<bool>? arriving = null;
        var hasGap = true; // the history may hold messages that were not published to this subscription
        while (true)
        {
            while (hasGap)
            {
                var (history, hasFailed) = await HistoryAsync(traceId, last + 1, cancellation).ConfigureAwait(false);
                foreach (var message in history)
                {
                    last = message.Sequence;
                    yield return message;
                }

                hasGap = history.Count > 0 && !hasFailed; // if it failed, it is asked again at the next message, or when none comes
            }

            while (!hasGap && live.Msgs.TryRead(out var sent))
            {
                var sequence = Number(sent.Headers, SequenceHeader);
                if (sequence <= last) continue;
                hasGap = Number(sent.Headers, "Nats-Last-Sequence") > last; // the history has the missing ones, and this one
                if (hasGap) break;
                last = sequence;
                yield return Read(sent);
            }

            if (hasGap) continue;
            arriving ??= live.Msgs.WaitToReadAsync(cancellation).AsTask();
            await ((Task)arriving).WaitAsync(quiet, time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellation.ThrowIfCancellationRequested();
            var isQuiet = !arriving.IsCompleted;
            if (!isQuiet) arriving = null;
            else hasGap = true; // after a lost connection nothing else tells that there is more
            if (isQuiet) yield return null;
        }
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
        catch (Exception silent) when (silent is NatsException || IsTimeout(silent, cancellation))
        {
            return false;
        }
    }

    private static bool IsTimeout(Exception problem, CancellationToken cancellation) =>
        problem is OperationCanceledException && !cancellation.IsCancellationRequested;

    private static ulong Number(NatsHeaders? headers, string name) =>
        headers is not null && headers.TryGetLastValue(name, out var text) && ulong.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static string Quoted(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private static SharedMessage Read(NatsMsg<byte[]> message)
    {
        var headers = message.Headers!;
        var kind = headers.TryGetLastValue(KindHeader, out var said) && Enum.TryParse<SharedKind>(said, ignoreCase: true, out var known) ? known : default;
        var stored = headers.TryGetLastValue("Nats-Time-Stamp", out var when)
            && DateTimeOffset.TryParse(when, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at) ? at : default;
        return new(Number(headers, SequenceHeader), kind, message.Data ?? [], stored)
        {
            Mark = headers.TryGetLastValue(MarkHeader, out var mark) ? mark : null,
        };
    }

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
        var live = await link.Connection.SubscribeCoreAsync(
            $"{prefix}live.chat.{traceId}", serializer: NatsRawSerializer<byte[]>.Default, cancellationToken: cancellation).ConfigureAwait(false);
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

    private async Task<(List<SharedMessage> Messages, bool HasFailed)> HistoryAsync(string traceId, ulong from, CancellationToken cancellation)
    {
        var found = new List<SharedMessage>();
        try
        {
            await foreach (var message in ReadAsync(
                $$"""{"seq":{{from}},"next_by_subj":"{{Chat(traceId)}}","batch":{{Batch}}}""", Batch, cancellation).ConfigureAwait(false)) found.Add(message);
            return (found, false);
        }
        catch (SharedJournalException)
        {
            return (found, true);
        }
    }

    private Task<SharedMessage?> LastOfAsync(string subject, CancellationToken cancellation) =>
        OneAsync($$"""{"last_by_subj":{{Quoted(subject)}}}""", cancellation);

    private async Task<SharedMessage?> OneAsync(string which, CancellationToken cancellation)
    {
        await foreach (var message in ReadAsync(which, 1, cancellation).ConfigureAwait(false)) return message;
        return null;
    }

    private async IAsyncEnumerable<SharedMessage> ReadAsync(string which, int most, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        await using var replies = stream.ReadAsync(plan.Name, which, most, patience.Token).GetAsyncEnumerator(patience.Token);
        while (true)
        {
            SharedMessage message;
            try
            {
                if (!await replies.MoveNextAsync().ConfigureAwait(false)) yield break;
                message = Read(replies.Current);
            }
            catch (Exception problem) when (problem is NatsException or IOException || IsTimeout(problem, cancellation))
            {
                throw new SharedJournalException("NATS does not answer", problem);
            }

            yield return message;
        }
    }

    private async Task<(AppendResult Result, ulong Sequence)> AppendToAsync(
        string subject, string kind, ReadOnlyMemory<byte> data, ulong last, CancellationToken cancellation)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        var headers = new NatsHeaders(3)
        {
            [KindHeader] = kind,
            [MarkHeader] = Mark(last),
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
        catch (Exception problem) when (problem is NatsException or IOException || IsTimeout(problem, cancellation))
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
            var (isNew, differences) = await stream.EnsureAsync(plan, CancellationToken.None).ConfigureAwait(false);
            if (isNew) log.StreamCreated(plan.Name, string.Join(", ", plan.Subjects));
            else if (differences is not null && !isThere) log.StreamDiffers(plan.Name, differences);
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
