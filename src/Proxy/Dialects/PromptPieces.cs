namespace Proxy.Dialects;

/// <summary>
/// Finds the pieces of a chat's prompt in its body, in the order in which a model reads them: the tools, the system prompt, each message. The same for every
/// dialect with messages.
/// </summary>
internal static class PromptPieces
{
    /// <summary>
    /// The maximum number of pieces; everything after them counts as one piece. Conversations this long are not continued in practice, and remembering a body
    /// of many tiny messages would otherwise take several times its size.
    /// </summary>
    public const int Most = 2048;

    /// <summary>Adds the pieces. Adds none if the body is written in an unusual form.</summary>
    public static void Find(ReadOnlySpan<byte> body, List<Range> pieces)
    {
        Range? tools = null, system = null, messages = null;
        var at = JsonSkim.Space(body, 0);
        while (JsonSkim.Member(body, ref at, out var name, out var value))
        {
            if (name.SequenceEqual("tools"u8)) tools = value;
            else if (name.SequenceEqual("system"u8)) system = value;
            else if (name.SequenceEqual("messages"u8)) messages = value;
        }

        if (JsonSkim.Peek(body, at) != '}' || messages is not { } turns) return;
        if (tools is { } first) pieces.Add(first);
        if (system is { } second) pieces.Add(second);
        at = turns.Start.Value;
        while (JsonSkim.Element(body, ref at, out var turn))
        {
            if (pieces.Count < Most)
            {
                pieces.Add(turn);
                continue;
            }

            pieces.Add(turn.Start..turns.End);
            break;
        }
    }
}
