using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// One resumable call of a shared crash matrix and its client, which closes its connection now and then, goes on at either proxy, and checks what it gets.
/// </summary>
/// <param name="first">The proxy that gets the call and generates its answer.</param>
internal sealed partial class CrashStream(CrashPair pair, string name, int first, Random random)
{
    private const int MostTries = 400;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    /// <summary>A client that gets nothing for so long is told nothing. A dead proxy is noticed after 10 s.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(60);

    private readonly TaskCompletionSource sends = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int tokens = random.Next(8, 30);
    private readonly int pause = random.Next(5, 25);
    private readonly int delay = random.Next(0, 250);
    private readonly int patience = random.Next(1, 9); // frames after which the client closes its connection
    private readonly List<string> frames = []; // without their ids
    private readonly int deaths = pair.Deaths(first);
    private int cuts = random.Next(0, 3);
    private string? location;

    public string Name => name;

    public int First => first;

    /// <summary>The id of the answer; null: the client never learned it.</summary>
    public string? TraceId => location?[(location.LastIndexOf('/') + 1)..];

    public string Expected => SlowHost.Answer(name, tokens, streams: true);

    /// <summary>The client has the whole answer.</summary>
    public bool IsWhole { get; private set; }

    /// <summary>Why the client has given up; null: it has not.</summary>
    public string? Failure { get; private set; }

    /// <summary>What must not happen whichever process was killed.</summary>
    public List<string> Violations { get; } = [];

    /// <summary>The frames that the client has.</summary>
    public string Frames => string.Concat(frames);

    public int Reads { get; private set; }

    public Task ReachedAsync(CrashPhase phase) => phase switch
    {
        CrashPhase.BeforeAccept => sends.Task,
        CrashPhase.FirstByte => pair.Host.ReachedAsync(name, HostStep.Accepted),
        CrashPhase.Middle => pair.Host.ReachedAsync(name, random.Next(2) == 0 ? HostStep.First : HostStep.Middle),
        CrashPhase.End => pair.Host.ReachedAsync(name, HostStep.Last),
        _ => pair.Host.ReachedAsync(name, HostStep.Sent),
    };

    public async Task RunAsync()
    {
        using var http = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero }) { Timeout = Timeout.InfiniteTimeSpan };
        await Task.Delay(delay);
        var at = first;
        for (var tries = 0; !IsWhole && Failure is null && tries < MostTries; tries++)
        {
            using var silent = new CancellationTokenSource(Silence);
            try
            {
                await (location is null ? SendAsync(http, silent) : ResumeAsync(http, at, silent));
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                if (location is null) Failure = $"no answer: {e.GetBaseException().Message}"; // it has nothing to resume
            }
            catch (OperationCanceledException)
            {
                Violations.Add($"{name} was told nothing for {Silence.TotalSeconds} s after frame {frames.Count}");
                return;
            }

            at = random.Next(2);
            await Task.Delay(Pause);
        }

        if (!IsWhole && Failure is null) Violations.Add($"{name} neither has its answer nor was told why, after frame {frames.Count}");
    }

    private async Task SendAsync(HttpClient http, CancellationTokenSource silent)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(pair.Proxy(first).Address, StreamHouse.Chat));
        var body = OpenAi.Request("served", stream: true, text: SlowHost.Order(name, tokens, pause));
        request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        request.Headers.Add("Authorization", CrashPair.Key);
        request.Headers.Add("x-resume", "1");
        sends.TrySetResult();
        using var reply = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silent.Token);
        location = reply.Headers.Location?.ToString();
        if (reply.StatusCode == HttpStatusCode.OK) await ReadAsync(reply, silent);
        else Failure = $"status {(int)reply.StatusCode}: {await reply.Content.ReadAsStringAsync()}";
    }

    private async Task ResumeAsync(HttpClient http, int at, CancellationTokenSource silent)
    {
        Reads++;
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(pair.Proxy(at).Address, location));
        request.Headers.Add("Authorization", CrashPair.Key);
        if (frames.Count > 0) request.Headers.Add("Last-Event-ID", $"{TraceId}/{frames.Count}");
        using var reply = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silent.Token);
        switch (reply.StatusCode)
        {
            case HttpStatusCode.OK:
                await ReadAsync(reply, silent);
                break;
            case HttpStatusCode.ServiceUnavailable or HttpStatusCode.InternalServerError: // NATS is away: try again
                break;
            case HttpStatusCode.NotFound when pair.Deaths(first) == deaths: // not journaled yet
                break;
            default: // 502: the answer has failed, and the client has all of it
                Failure = $"status {(int)reply.StatusCode}: {await reply.Content.ReadAsStringAsync()}";
                break;
        }
    }

    /// <summary>Reads frames and checks that their numbers follow each other.</summary>
    private async Task ReadAsync(HttpResponseMessage reply, CancellationTokenSource silent)
    {
        await using var stream = await reply.Content.ReadAsStreamAsync();
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var frame = new StringBuilder();
        while (await reader.ReadLineAsync(silent.Token) is { } line)
        {
            if (line.Length > 0)
            {
                frame.Append(line).Append('\n');
                continue;
            }

            silent.CancelAfter(Silence);
            var text = frame.Append('\n').ToString();
            frame.Clear();
            if (text.StartsWith(':')) continue; // a keep-alive
            if (text.StartsWith("data: {\"error\"", StringComparison.Ordinal))
            {
                Failure = text;
                return;
            }

            if (Id().Match(text) is not { Success: true } id || id.Groups[1].Value != $"{frames.Count + 1}")
            {
                Violations.Add($"{name} got the frame '{text}' after frame {frames.Count}");
                return;
            }

            frames.Add(Id().Replace(text, "", 1));
            if (frames[^1] == OpenAi.Done) break;
            if (cuts == 0 || frames.Count % patience != 0) continue;
            cuts--;
            return;
        }

        if (!Expected.StartsWith(Frames, StringComparison.Ordinal)) Violations.Add($"{name} assembled another beginning: {Frames}");
        IsWhole = Frames == Expected;
    }

    /// <summary>The frames of a whole reading, without their ids, and the error after them; empty: there is none.</summary>
    public static (string Frames, string Error) Parse(string text)
    {
        var plain = Id().Replace(text, "");
        var error = plain.IndexOf("data: {\"error\"", StringComparison.Ordinal);
        return error < 0 ? (plain, "") : (plain[..error], plain[error..]);
    }

    [GeneratedRegex(@"^id: \w+/(\d+)\n", RegexOptions.Multiline)]
    private static partial Regex Id();
}
