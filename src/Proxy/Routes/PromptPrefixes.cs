using System.Buffers.Binary;
using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Routes;

/// <summary>
/// Measures how much of each long prompt begins like an earlier one of the same caller and model: what a host's prefix cache can save. Coding agents live by it, and one mark that changes at the top of the
/// prompt ruins it. Thread-safe; remembers fingerprints only, and few.
/// </summary>
internal sealed class PromptPrefixes(ProxyMetrics metrics)
{
    /// <summary>Shorter bodies are read anew in no time.</summary>
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
                if (whole) continued = node; // the conversation goes on: its earlier state is of no more use
            }

            if (continued is not null) recent.Remove(continued);
            recent.AddFirst(prompt);
            if (recent.Count > Remembered) recent.RemoveLast();
            return longest;
        }
    }

    // For counting only: nobody gains by two texts that look alike.
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
