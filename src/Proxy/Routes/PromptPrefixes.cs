using System.Buffers.Binary;
using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Routes;

/// <summary>
/// Measures how much of each long prompt is a prefix of an earlier prompt of the same caller and model, which is the part that a host's prefix cache can
/// save. Coding agents depend on that cache, and a single value that changes near the start of the prompt defeats it. Thread-safe. Stores only
/// fingerprints, of the last 64 prompts.
/// </summary>
internal sealed class PromptPrefixes(ProxyMetrics metrics)
{
    /// <summary>Shorter bodies are not measured: a host processes them quickly without a cache.</summary>
    private const int ShortestBody = 8 << 10;

    private const int Remembered = 64;

    private readonly Lock gate = new();
    private readonly LinkedList<Prompt> recent = new();

    public void See(ChatCall call)
    {
        if (call.OriginalBody is not { Length: >= ShortestBody } bytes) return;
        using var edited = BodyEdit.Apply(call.Edits, bytes.Span);
        var body = edited is null ? bytes.Span : edited.Span;
        var pieces = new List<Range>();
        call.Dialect.CutPrompt(body, pieces);
        if (pieces.Count == 0) return;

        var marks = new (ulong Mark, int Length)[pieces.Count];
        for (var i = 0; i < marks.Length; i++) marks[i] = (Fingerprint(body[pieces[i]]), body[pieces[i]].Length);
        metrics.CountPrompt(marks.Sum(static mark => (long)mark.Length), Shared(new(call.Info.Owner, call.Envelope.Model, marks)));
    }

    private long Shared(Prompt prompt)
    {
        lock (gate)
        {
            var longest = 0L;
            LinkedListNode<Prompt>? continued = null;
            for (var node = recent.First; node is not null; node = node.Next)
            {
                if (node.Value.Owner != prompt.Owner || node.Value.Model != prompt.Model) continue;
                var shared = node.Value.SharedWith(prompt, out var whole);
                longest = Math.Max(longest, shared);
                if (whole) continued = node; // the same conversation, continued: its earlier state is no longer needed
            }

            if (continued is not null) recent.Remove(continued);
            recent.AddFirst(prompt);
            if (recent.Count > Remembered) recent.RemoveLast();
            return longest;
        }
    }

    // Only for statistics, so it need not resist deliberate collisions.
    private static ulong Fingerprint(ReadOnlySpan<byte> text)
    {
        const ulong Prime = 0x9E3779B97F4A7C15;
        var mark = (ulong)text.Length * Prime;
        for (; text.Length >= 8; text = text[8..]) mark = ulong.RotateLeft((mark ^ BinaryPrimitives.ReadUInt64LittleEndian(text)) * Prime, 29);
        foreach (var rest in text) mark = ulong.RotateLeft((mark ^ rest) * Prime, 29);
        return mark;
    }

    private sealed record Prompt(string Owner, string Model, (ulong Mark, int Length)[] Pieces)
    {
        public long SharedWith(Prompt other, out bool whole)
        {
            var length = 0L;
            var at = 0;
            for (; at < Pieces.Length && at < other.Pieces.Length && Pieces[at] == other.Pieces[at]; at++) length += Pieces[at].Length;
            whole = at == Pieces.Length;
            return length;
        }
    }
}
