using System.Text;
using CsCheck;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Streams and documents of hosts with random changes: they are read without an exception, and alike however they arrive.
/// </summary>
public sealed class FuzzedStreamTests
{
    private static readonly (DialectName Dialect, string Stream, string Whole)[] Files =
    [
        (DialectName.OpenAiChat, "openai.sse", "openai.whole.json"), (DialectName.OllamaChat, "ollama.jsonl", "ollama.whole.json"),
        (DialectName.Anthropic, "anthropic.sse", "anthropic.whole.json"), (DialectName.OpenAiResponses, "responses.sse", "responses.whole.json"),
        (DialectName.OpenAiCompletions, "completions.sse", "completions.whole.json"), (DialectName.OllamaGenerate, "generate.jsonl", "generate.whole.json"),
    ];

    public static TheoryData<string> Dialects { get; } = [.. Files.Select(static row => row.Dialect.ToString())];

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Stream_with_changes_Is_read_alike_however_it_arrives(string dialect)
    {
        var backend = DialectTable.Backend(Enum.Parse<DialectName>(dialect))!;
        var corpus = Corpus(Files.Single(row => row.Dialect == backend.Name).Stream);
        Gen.Int.Holds(400, static seed => $"seed {seed}", seed =>
        {
            var random = new Random(seed);
            var stream = Mutation.Of(corpus, random);

            var events = Wire.Read(backend, out var isWhole, stream);
            var again = Wire.Read(backend, out var isWholeToo, Mutation.Cut(stream, random));

            Assert.Equal((isWhole, Wire.Lines(events)), (isWholeToo, Wire.Lines(again)));
            Assert.Equal(Batched(backend, [stream]), Batched(backend, Mutation.Cut(stream, random)));
            foreach (var payload in Payloads(backend, stream)) Classify(backend, payload);
        });
    }

    [Theory]
    [MemberData(nameof(Dialects))]
    public void Document_with_changes_Is_read_or_is_none(string dialect)
    {
        var backend = DialectTable.Backend(Enum.Parse<DialectName>(dialect))!;
        var corpus = Corpus(Files.Single(row => row.Dialect == backend.Name).Whole);
        Gen.Int.Holds(400, static seed => $"seed {seed}", seed =>
        {
            var document = Mutation.Of(corpus, new Random(seed));

            var events = new List<ChatEvent>();
            if (backend.TryReadWhole(document, events)) Assert.Contains(events, static happened => happened is ChatEvent.Finished);
            Classify(backend, document);
            backend.IsWholeAnswer(document);
        });
    }

    private static List<byte[]> Corpus(string file) =>
        [.. Wire.Scenarios.Select(folder => Path.Combine(folder, file)).Where(File.Exists).Select(File.ReadAllBytes)];

    /// <summary>What the relay asks of each frame without reading it.</summary>
    private static void Classify(BackendDialect backend, byte[] payload)
    {
        var kind = backend.Classify(payload);
        // The quick look does not expect line ends within an object, which no host writes.
        if (payload.AsSpan().IndexOfAny((byte)13, (byte)10, (byte)9) < 0)
            Assert.True(kind is FrameKind.End == backend.IsEnd(payload), $"{kind}: {Properties.Shown(payload)}");
        if (kind is FrameKind.Error) Assert.NotEmpty(backend.ReadError(payload).Message);
        backend.SaysWhyFinished(payload);
        backend.OnlyCounts(payload);
        backend.FindUsage(payload);
    }

    private static List<byte[]> Payloads(BackendDialect backend, ReadOnlySpan<byte> stream)
    {
        using var cutter = FrameCutter.For(backend.Framing);
        var payloads = new List<byte[]>();
        while (cutter.TryTake(ref stream, out _, out var payload))
        {
            if (!payload.IsEmpty) payloads.Add(payload.ToArray());
        }

        return payloads;
    }

    /// <summary>The payloads as the pump takes them, one a line.</summary>
    private static string Batched(BackendDialect backend, byte[][] pieces)
    {
        using var batch = new FrameBatch(backend.Framing);
        var tap = new Tap();
        batch.Taps = [tap];
        foreach (var piece in pieces)
        {
            batch.Fill(piece);
            while (batch.TryNext(out _, out _))
            {
            }

            batch.Keep();
        }

        batch.TakeRest();
        return tap.Seen.ToString();
    }

    private sealed class Tap : IFrameTap
    {
        public StringBuilder Seen { get; } = new();

        public void Begin(BackendReply reply) { }

        public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload) =>
            Seen.Append(payload.IsEmpty ? "" : Convert.ToHexString(payload) + "\n"); // an empty line is part of the frame before or after it
    }
}
