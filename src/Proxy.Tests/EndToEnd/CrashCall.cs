using System.Net;
using System.Text;
using System.Text.RegularExpressions;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>What a client does about a failure.</summary>
internal enum ClientKind
{
    /// <summary>Nothing.</summary>
    Plain,

    /// <summary>It sends the call again with the same <c>Idempotency-Key</c>, until it has the answer.</summary>
    Keyed,

    /// <summary>It reads the stream on (<c>x-resume: 1</c>), also after connections that it closes itself.</summary>
    Resuming,
}

/// <summary>One call of a crash matrix and its client, which checks what it receives.</summary>
internal sealed partial class CrashCall(CrashHouse house, string name, ClientKind kind, bool streams, Random random)
{
    /// <summary>The failure of a client that closes the connection itself.</summary>
    public const string Left = "the client closed the connection";

    private const int MostTries = 400;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

    private readonly TaskCompletionSource sends = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int tokens = random.Next(6, 15);
    private readonly int pause = random.Next(5, 20);
    private readonly int delay = random.Next(0, 250);
    private readonly int patience = random.Next(1, 9); // frames after which a client that will come back closes its connection
    private readonly List<string> frames = []; // of a stream that is resumed, without their ids
    private int cuts = random.Next(0, 3);
    private string? location;

    public string Name => name;

    public ClientKind Kind => kind;

    /// <summary>The end of the answer as the client saw it; null: it did not.</summary>
    public Sighting? Acknowledged { get; private set; }

    /// <summary>Why attempts failed, each with the time at which it was begun.</summary>
    public List<(DateTime Begun, string Why)> Failures { get; } = [];

    /// <summary>What must not happen whichever process was killed.</summary>
    public List<string> Violations { get; } = [];

    /// <summary>Answers that came from the store or from the call before.</summary>
    public int Replays { get; private set; }

    public int Resumes { get; private set; }

    /// <summary>Connections that the client itself closed.</summary>
    public int Cuts { get; private set; }

    public bool IsOver { get; private set; }

    private string Expected => SlowHost.Answer(name, tokens, streams);

    /// <summary>Completes when the call is in a phase.</summary>
    public Task ReachedAsync(CrashPhase phase) => phase switch
    {
        CrashPhase.BeforeAccept => sends.Task,
        CrashPhase.FirstByte => house.Host.ReachedAsync(name, HostStep.Accepted),
        CrashPhase.Middle => house.Host.ReachedAsync(name, random.Next(2) == 0 ? HostStep.First : HostStep.Middle),
        CrashPhase.End => house.Host.ReachedAsync(name, HostStep.Last),
        _ => house.Host.ReachedAsync(name, HostStep.Sent),
    };

    /// <summary>Milliseconds after which the call is still in a phase, if the machine is not busy.</summary>
    public int WithinPhase(CrashPhase phase) => phase switch
    {
        CrashPhase.BeforeAccept => 0,
        CrashPhase.End => random.Next(pause / 2),
        CrashPhase.Gate => random.Next(20),
        _ => random.Next(2 * pause),
    };

    /// <summary>The phase that the call is in; null: it has not begun or is over.</summary>
    public CrashPhase? Phase() => !sends.Task.IsCompleted || IsOver ? null : house.Host.StepOf(name) switch
    {
        HostStep.None => CrashPhase.BeforeAccept,
        HostStep.Accepted => CrashPhase.FirstByte,
        HostStep.First or HostStep.Middle => CrashPhase.Middle,
        HostStep.Last => CrashPhase.End,
        _ => CrashPhase.Gate,
    };

    public async Task RunAsync()
    {
        using var http = new HttpClient(new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.Zero });
        await Task.Delay(delay);
        for (var tries = 0; Acknowledged is null && tries < MostTries; tries++)
        {
            var begun = DateTime.UtcNow;
            try
            {
                if (await AttemptAsync(http) is not { } failed) break;
                Failures.Add((begun, failed));
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                Failures.Add((begun, e.GetBaseException().Message));
            }

            if (kind is ClientKind.Plain || (kind is ClientKind.Resuming && location is null)) break;
            if (IsLost) break;
            await Task.Delay(Pause);
        }

        IsOver = true;
    }

    /// <summary>The stream that a client wants to resume is gone, or has failed.</summary>
    public bool IsLost { get; private set; }

    /// <summary>Null: the client has the whole answer. Else why it has not.</summary>
    private Task<string?> AttemptAsync(HttpClient http) => location is not null ? ResumeAsync(http) : SendAsync(http);

    private async Task<string?> SendAsync(HttpClient http)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(house.Proxy.Address, StreamHouse.Chat));
        request.Content = new StringContent(OpenAi.Request("served", streams, text: SlowHost.Order(name, tokens, pause)), Encoding.UTF8, "application/json");
        request.Headers.Add("x-correlation-id", name);
        if (kind is ClientKind.Keyed) request.Headers.Add("Idempotency-Key", name);
        if (kind is ClientKind.Resuming) request.Headers.Add("x-resume", "1");
        sends.TrySetResult();
        using var reply = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        if (reply.StatusCode != HttpStatusCode.OK) return $"status {(int)reply.StatusCode}: {await reply.Content.ReadAsStringAsync()}";
        if (kind is ClientKind.Resuming)
        {
            location = reply.Headers.Location!.ToString();
            return await ReadFramesAsync(reply);
        }

        if (reply.Headers.Contains("idempotent-replayed")) Replays++;
        if (kind is ClientKind.Keyed && streams && cuts > 0) return await LeaveAsync(reply);
        var (text, broken) = await ReadAsync(reply);
        if (text == Expected && broken is null) return Acknowledge(TraceId(reply));
        if (!streams) return broken ?? Violate($"got another document: {text}");
        if (text == Expected) return broken; // without the end of its framing
        return IsBeginning(text, broken) ? broken ?? "the host failed" : Violate($"got another stream ({broken}): {text}");
    }

    /// <summary>Closes the connection after some frames.</summary>
    private async Task<string?> LeaveAsync(HttpResponseMessage reply)
    {
        await using var stream = await reply.Content.ReadAsStreamAsync();
        using var reader = new StreamReader(stream, Encoding.UTF8);
        for (var i = 0; i < 2 * patience; i++) await reader.ReadLineAsync();
        cuts--;
        Cuts++;
        return Left;
    }

    private async Task<string?> ResumeAsync(HttpClient http)
    {
        Resumes++;
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(house.Proxy.Address, location));
        if (frames.Count > 0) request.Headers.Add("Last-Event-ID", $"{location![(location!.LastIndexOf('/') + 1)..]}/{frames.Count}");
        using var reply = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        // 502: the host failed, and the client has all frames that came before.
        if (reply.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone or HttpStatusCode.BadGateway) IsLost = true;
        if (reply.StatusCode != HttpStatusCode.OK) return $"status {(int)reply.StatusCode}: {await reply.Content.ReadAsStringAsync()}";
        var before = frames.Count;
        var failed = await ReadFramesAsync(reply);
        return failed is "the stream ended" && frames.Count == before ? Violate("resumed to an empty answer") : failed;
    }

    /// <summary>Reads frames and checks that their numbers follow each other.</summary>
    private async Task<string?> ReadFramesAsync(HttpResponseMessage reply)
    {
        await using var stream = await reply.Content.ReadAsStreamAsync();
        using var reader = new StreamReader(stream, Encoding.UTF8);
        var frame = new StringBuilder();
        while (await reader.ReadLineAsync() is { } line)
        {
            if (line.Length > 0)
            {
                frame.Append(line).Append('\n');
                continue;
            }

            var text = frame.Append('\n').ToString();
            frame.Clear();
            if (text.StartsWith(':')) continue; // a keep-alive
            if (text.StartsWith("data: {\"error\"", StringComparison.Ordinal))
            {
                IsLost = true;
                return $"the answer failed: {text}";
            }

            if (Id().Match(text) is not { Success: true } id || id.Groups[1].Value != $"{frames.Count + 1}")
                return Violate($"got the frame '{text}' after frame {frames.Count}");
            frames.Add(Id().Replace(text, "", 1));
            if (frames[^1] == OpenAi.Done) break;
            if (cuts == 0 || frames.Count % patience != 0) continue;
            cuts--;
            Cuts++;
            return Left;
        }

        var whole = string.Concat(frames);
        if (frames.Count == 0 || frames[^1] != OpenAi.Done)
            return Expected.StartsWith(whole, StringComparison.Ordinal) ? "the stream ended" : Violate($"assembled another beginning: {whole}");
        return whole == Expected ? Acknowledge(location![(location!.LastIndexOf('/') + 1)..]) : Violate($"assembled another stream: {whole}");
    }

    private string? Acknowledge(string traceId)
    {
        Acknowledged = house.See(traceId);
        return null;
    }

    private string Violate(string what)
    {
        Violations.Add($"{name} ({kind}) {what}");
        return what;
    }

    /// <summary>Whether a stream is cut off, or has the dialect's error in place of its rest.</summary>
    private bool IsBeginning(string text, string? broken)
    {
        var error = text.IndexOf("data: {\"error\"", StringComparison.Ordinal);
        if (error < 0 && broken is null) return false; // a complete message with a part of the answer
        return Expected.StartsWith(error < 0 ? text : text[..error], StringComparison.Ordinal);
    }

    /// <summary>The call that generated the answer.</summary>
    private static string TraceId(HttpResponseMessage reply) =>
        (reply.Headers.TryGetValues("x-joined-trace-id", out var joined) ? joined : reply.Headers.GetValues("x-trace-id")).Single();

    private static async Task<(string Text, string? Broken)> ReadAsync(HttpResponseMessage reply)
    {
        await using var stream = await reply.Content.ReadAsStreamAsync();
        using var bytes = new MemoryStream();
        try
        {
            await stream.CopyToAsync(bytes);
            return (Text(), null);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return (Text(), e.GetBaseException().Message);
        }

        string Text() => Encoding.UTF8.GetString(bytes.ToArray());
    }

    [GeneratedRegex(@"^id: \w+/(\d+)\n", RegexOptions.Multiline)]
    private static partial Regex Id();
}
