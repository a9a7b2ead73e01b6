namespace Proxy.Dialects;

/// <summary>
/// Follows a tool call's arguments piece by piece and tells when they are one whole object. Braces are matched outside of strings and nothing is validated, so a piece costs one look at each
/// of its characters. Mutable: keep it in a field.
/// </summary>
internal struct ArgumentsProgress
{
    private int depth;
    private bool quoted, escaped, foreign;

    /// <summary>Something other than white space came.</summary>
    public bool Begun { get; private set; }

    /// <summary>The object's last brace came. Stays true whatever follows.</summary>
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
