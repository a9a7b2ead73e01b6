namespace Proxy.Dialects;

/// <summary>Where in a chat's body the pieces of its prompt stand, in the order in which a model reads them: the tools, the system prompt, each message. Alike in every dialect that has messages.</summary>
internal static class PromptPieces
{
    /// <summary>A prompt of more pieces is one that nobody continues; what comes after so many counts as one, or a body of tiny messages would cost several times its size to remember.</summary>
    public const int Most = 2048;

    /// <summary>Adds the pieces; none where the body is written unusually.</summary>
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
