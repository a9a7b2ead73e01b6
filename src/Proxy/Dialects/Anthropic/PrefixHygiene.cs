namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Blanks two values that a coding agent changes in each call's system prompt: the check value in Claude Code's <c>x-anthropic-billing-header</c> line and the
/// count in <c>&lt;total_tokens&gt;</c>. Both stand at the very beginning of the prompt, so a local host's prefix cache would miss and it would process the
/// whole prompt again for each call. Letters and digits are overwritten with zeros in place; the length stays the same.
/// </summary>
internal static class PrefixHygiene
{
    /// <summary>Does nothing if the call carries signed thoughts, because the signature may cover the prompt too.</summary>
    public static void Normalise(Span<byte> body)
    {
        if (body.IndexOf("x-anthropic-billing-header"u8) < 0 && body.IndexOf("<total_tokens>"u8) < 0) return;
        Range? system = null;
        var at = JsonSkim.Space(body, 0);
        while (JsonSkim.Member(body, ref at, out var name, out var value))
        {
            if (name.SequenceEqual("system"u8)) system = value;
            else if (name.SequenceEqual("messages"u8) && HasSignature(body[value])) return;
        }

        if (system is not { } prompt || JsonSkim.Peek(body, at) != '}') return;
        Blank(body[prompt], "x-anthropic-billing-header"u8, "cch="u8);
        Blank(body[prompt], "<total_tokens>"u8, ""u8);
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

    /// <summary>Overwrites the word that follows <paramref name="key"/> after each <paramref name="mark"/>, within the same line.</summary>
    private static void Blank(Span<byte> prompt, ReadOnlySpan<byte> mark, ReadOnlySpan<byte> key)
    {
        while (prompt.IndexOf(mark) is var at and >= 0)
        {
            prompt = prompt[(at + mark.Length)..];
            var line = prompt.IndexOfAny("\"\\"u8) is var end and >= 0 ? prompt[..end] : prompt;
            if (line.IndexOf(key) is not (var from and >= 0)) continue;
            for (var i = from + key.Length; i < line.Length && char.IsAsciiLetterOrDigit((char)line[i]); i++) line[i] = (byte)'0';
        }
    }
}
