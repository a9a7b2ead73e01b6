using Proxy.Chat;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Blanks two values that a coding agent changes in each call's system prompt: the check value in Claude Code's <c>x-anthropic-billing-header</c> line and the
/// count in <c>&lt;total_tokens&gt;</c>. Both stand at the very beginning of the prompt, so a local host's prefix cache would miss and it would process the
/// whole prompt again for each call. Letters and digits are overwritten with zeros in place; the length stays the same.
/// </summary>
internal static class PrefixHygiene
{
    /// <summary>Finds nothing if the call carries signed thoughts, because the signature may cover the prompt too.</summary>
    public static IReadOnlyList<BodyEdit> Find(ReadOnlySpan<byte> body)
    {
        if (body.IndexOf("x-anthropic-billing-header"u8) < 0 && body.IndexOf("<total_tokens>"u8) < 0) return [];
        Range? system = null;
        var at = JsonSkim.Space(body, 0);
        while (JsonSkim.Member(body, ref at, out var name, out var value))
        {
            if (name.SequenceEqual("system"u8)) system = value;
            else if (name.SequenceEqual("messages"u8) && HasSignature(body[value])) return [];
        }

        if (system is not { } prompt || JsonSkim.Peek(body, at) != '}') return [];
        var edits = new List<BodyEdit>();
        Blank(body, prompt, "x-anthropic-billing-header"u8, "cch="u8, edits);
        Blank(body, prompt, "<total_tokens>"u8, ""u8, edits);
        return [.. edits.DistinctBy(static edit => edit.Place.Start.Value).OrderBy(static edit => edit.Place.Start.Value)];
    }

    private static bool HasSignature(ReadOnlySpan<byte> messages)
    {
        while (messages.IndexOf("\"signature\""u8) is var at and >= 0)
        {
            messages = messages[(at + 11)..];
            var value = messages.TrimStart(" \t\r\n"u8);
            if (value is [(byte)':', ..] && value[1..].TrimStart(" \t\r\n"u8) is [(byte)'"', not (byte)'"', ..]) return true;
        }

        return false;
    }

    /// <summary>Adds an edit that overwrites the word that follows <paramref name="key"/> after each <paramref name="mark"/>, within the same line.</summary>
    private static void Blank(ReadOnlySpan<byte> body, Range prompt, ReadOnlySpan<byte> mark, ReadOnlySpan<byte> key, List<BodyEdit> edits)
    {
        var at = prompt.Start.Value;
        while (body[at..prompt.End.Value].IndexOf(mark) is var found and >= 0)
        {
            at += found + mark.Length;
            var line = body[at..prompt.End.Value];
            if (line.IndexOfAny("\"\\"u8) is var end and >= 0) line = line[..end];
            if (line.IndexOf(key) is not (var from and >= 0)) continue;
            from += key.Length;
            var to = from;
            while (to < line.Length && char.IsAsciiLetterOrDigit((char)line[to])) to++;
            var zeros = new byte[to - from];
            zeros.AsSpan().Fill((byte)'0');
            if (zeros.Length > 0) edits.Add(new((at + from)..(at + to), zeros));
        }
    }
}
