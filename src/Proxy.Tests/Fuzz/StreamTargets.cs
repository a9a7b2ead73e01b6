using System.Text;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Streams;
using Proxy.Tests.Dialects;

namespace Proxy.Tests.Fuzz;

/// <summary>
/// The readers of hosts' streams and whole answers. A stream means the same however it is cut; the watch that forwards it unread and the reader agree on its
/// token counts, its end and its error; and every client gets frames that are JSON and say the same text.
/// </summary>
internal static class StreamTargets
{
    private static readonly (string Stream, string Whole, DialectName Name)[] Files =
    [
        ("openai.sse", "openai.whole.json", DialectName.OpenAiChat), ("responses.sse", "responses.whole.json", DialectName.OpenAiResponses),
        ("completions.sse", "completions.whole.json", DialectName.OpenAiCompletions), ("ollama.jsonl", "ollama.whole.json", DialectName.OllamaChat),
        ("generate.jsonl", "generate.whole.json", DialectName.OllamaGenerate), ("anthropic.sse", "anthropic.whole.json", DialectName.Anthropic),
    ];

    public static IEnumerable<FuzzTarget> All =>
    [
        .. Files.Select(static row => new FuzzTarget("stream-" + row.Stream.Split('.')[0], Seeds(row.Stream),
            stream => CheckStream(DialectTable.Backend(row.Name)!, stream))),
        .. Files.Select(static row => new FuzzTarget("answer-" + row.Stream.Split('.')[0], Seeds(row.Whole),
            body => CheckWhole(DialectTable.Backend(row.Name)!, body))),
    ];

    private static List<byte[]> Seeds(string file) =>
        [.. Wire.Scenarios.Select(folder => Path.Combine(folder, file)).Where(File.Exists).Select(File.ReadAllBytes)];

    private static void CheckStream(BackendDialect host, byte[] stream)
    {
        var events = UntilError(Wire.Read(host, out var isWhole, stream));
        var cuts = new Random(stream.Length);
        var (one, two) = (cuts.Next(stream.Length + 1), cuts.Next(stream.Length + 1));
        if (one > two) (one, two) = (two, one);
        var again = UntilError(Wire.Read(host, out var isWholeAgain, stream[..one], stream[one..two], stream[two..]));
        Assert.Equal(isWhole, isWholeAgain);
        Assert.Equal(Wire.Lines(events), Wire.Lines(again));
        Assert.Equal(Batched(host, [stream]), Batched(host, [stream[..one], stream[one..two], stream[two..]]));
        CheckWatch(host, stream, events);
        CheckClients(events);
    }

    /// <summary>The payloads as the pump takes them, one a line.</summary>
    private static string Batched(BackendDialect host, byte[][] pieces)
    {
        using var batch = new FrameBatch(host.Framing);
        var seen = new StringBuilder();
        foreach (var piece in pieces)
        {
            batch.Fill(piece);
            while (batch.TryNext(out _, out var payload)) Add(payload);
            batch.Keep();
        }

        if (!batch.Rest.IsEmpty) Add(batch.PayloadOfRest(batch.Rest));
        return seen.ToString();

        void Add(ReadOnlySpan<byte> payload)
        {
            if (payload.IsEmpty) return; // an empty line is part of the frame before or after it
            seen.Append(Convert.ToHexString(payload)).Append('\n');
            // The quick look does not expect line ends within an object, which no host writes.
            if (payload.IndexOfAny((byte)'\r', (byte)'\n', (byte)'\t') < 0) Assert.Equal(host.Classify(payload) is FrameKind.End, host.IsEnd(payload));
            host.OnlyCounts(payload);
        }
    }

    /// <summary>Nothing is read after an error.</summary>
    private static List<ChatEvent> UntilError(List<ChatEvent> events)
    {
        var at = events.FindIndex(static happened => happened is ChatEvent.Finished { Error: not null });
        return at < 0 ? events : events[..(at + 1)];
    }

    private static void CheckWatch(BackendDialect host, byte[] stream, List<ChatEvent> events)
    {
        var watch = new StreamWatch(host);
        using var cutter = FrameCutter.For(host.Framing);
        ReadOnlySpan<byte> rest = stream;
        ReadOnlySpan<byte> payload = default;
        while (!watch.Ended && watch.Error is null && cutter.TryTake(ref rest, out _, out payload)) watch.Look(payload, cutter);
        if (!watch.Ended && watch.Error is null) watch.Look(payload = cutter.PayloadOfRest(rest), cutter);
        // A frame that is not JSON is an error for the reader, and forwarded by the watch. An error inside of another member is none for the reader.
        if (watch.Error is not null && IsError(payload)) Assert.NotNull(Assert.IsType<ChatEvent.Finished>(events[^1]).Error);
        if (events is not [.., ChatEvent.Finished { Error: null }]) return;
        if (watch.Error is not null) return;
        if (!HasOneUsage(stream)) return;
        var read = events.OfType<ChatEvent.UsageReported>().LastOrDefault()?.Usage;
        if (read is not null && watch.Usage is { } seen) Assert.Equal((read.InputTokens, read.OutputTokens), (seen.InputTokens, seen.OutputTokens));
    }

    private static bool IsError(ReadOnlySpan<byte> payload)
    {
        try
        {
            using var frame = JsonDocument.Parse(payload.ToArray());
            return frame.RootElement.TryGetProperty("error"u8, out _);
        }
        catch (JsonException)
        {
            return true; // an error for the reader too
        }
    }

    private static void CheckWhole(BackendDialect host, byte[] body)
    {
        var events = new List<ChatEvent>();
        var isRead = host.TryReadWhole(body, events);
        Assert.NotNull(host.ReadError(body).Message);
        host.Classify(body);
        var usage = host.FindUsage(body);
        if (!isRead) return;
        Assert.IsType<ChatEvent.Finished>(events[^1]);
        CheckClients(events);
        if (!host.IsWholeAnswer(body) || !HasOneUsage(body)) return;
        var read = events.OfType<ChatEvent.UsageReported>().LastOrDefault()?.Usage;
        if (usage is not null && read is not null) Assert.Equal((usage.InputTokens, usage.OutputTokens), (read.InputTokens, read.OutputTokens));
    }

    /// <summary>Where counts stand inside of counts, the scan may find the inner ones.</summary>
    private static bool HasOneUsage(ReadOnlySpan<byte> body) => body.Count("usage"u8) == 1;

    /// <summary>Every client's stream and document are JSON, and say all of the text if the answer is complete.</summary>
    private static void CheckClients(List<ChatEvent> events)
    {
        if (events is not [.., ChatEvent.Finished { Error: null }]) return;
        foreach (var client in DialectTable.Clients)
        {
            var stream = Encoding.UTF8.GetBytes(Wire.Write(client, events, Wire.Stamp));
            using var cutter = FrameCutter.For(client.Framing);
            ReadOnlySpan<byte> rest = stream;
            while (cutter.TryTake(ref rest, out _, out var payload))
            {
                if (!payload.IsEmpty && !payload.SequenceEqual("[DONE]"u8)) JsonDocument.Parse(payload.ToArray()).Dispose();
            }

            Assert.True(rest.IsEmpty, $"{client.Name} ends within a frame");
            JsonDocument.Parse(Wire.Text(output => client.WriteWhole(events, Wire.Stamp, output))).Dispose();
            var read = Wire.Read(DialectTable.Backend(client.Name)!, out var isWhole, stream);
            Assert.True(isWhole, $"{client.Name}'s stream is not complete");
            Assert.True(TextOf(events) == TextOf(read), $"{client.Name}: '{TextOf(read)}' for '{TextOf(events)}' in\n{Encoding.UTF8.GetString(stream)}");
        }
    }

    /// <summary>The text of the first choice: some dialects have only one.</summary>
    private static string TextOf(List<ChatEvent> events) => string.Concat(events.OfType<ChatEvent.Token>()
        .Where(static token => token is { Choice: 0, Kind: TokenKind.Answer or TokenKind.Refusal }).Select(static token => token.Text));
}
