namespace Proxy.Dialects;

/// <summary>
/// Tracks a tool call's arguments as they arrive in pieces and tells when they form one complete object. It matches braces outside of strings and validates
/// nothing, so a piece costs one look at each of its characters. A mutable struct: store it in a field.
/// </summary>
internal struct ArgumentsProgress
{
    private int depth;
    private bool quoted, escaped, foreign;

    /// <summary>True once a character other than white space has arrived.</summary>
    public bool Begun { get; private set; }

    /// <summary>True once the object's closing brace has arrived. Stays true whatever follows.</summary>
    public bool Whole { get; private set; }

    public void Add(ReadOnlySpan<char> piece)
    {
        foreach (var letter in piece)
        {
            if (Whole || foreign) return;
            if (!Begun)
            {
                if (char.IsWhiteSpace(letter)) continue;
                Begun = true;
                foreign = letter != '{';
            }

            Step(letter);
        }
    }

    private void Step(char letter)
    {
        if (quoted)
        {
            if (escaped) escaped = false;
            else if (letter == '\\') escaped = true;
            else if (letter == '"') quoted = false;
            return;
        }

        switch (letter)
        {
            case '"': quoted = true; break;
            case '{' or '[': depth++; break;
            case '}' or ']': Whole = --depth == 0; break;
        }
    }
}
