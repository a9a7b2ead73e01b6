using System.Globalization;
using System.Text;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Takes a custom tool's text out of the arguments in which its host gives it, <c>{"input":"…"}</c>, while they come in pieces that end anywhere. Models err: what is no object is the text itself, and an
/// object without <c>input</c> is the text as it stands, for the tool to refuse.
/// </summary>
internal sealed class CustomToolInput
{
    private enum State
    {
        Start,
        BeforeName,
        Name,
        BeforeValue,
        Text,
        OtherText,
        Other,
        Raw,
        Over,
    }

    private readonly StringBuilder all = new();
    private readonly StringBuilder escape = new();
    private readonly StringBuilder name = new();
    private State state;
    private int depth;
    private char held;
    private bool escaped, found;

    /// <summary>What the piece adds to the text.</summary>
    public string Add(string? piece)
    {
        if (string.IsNullOrEmpty(piece)) return "";
        if (!found) all.Append(piece);
        var text = new StringBuilder();
        if (held != '\0') text.Append(held);
        held = '\0';
        foreach (var c in piece) Take(c, text);
        if (text.Length > 0 && char.IsHighSurrogate(text[^1]))
        {
            held = text[^1]; // goes out with its other half
            text.Length--;
        }

        return text.ToString();
    }

    /// <summary>The arguments are complete: what the text still lacks.</summary>
    public string End()
    {
        if (!found) return all.ToString();
        var rest = held != '\0' ? held.ToString() : "";
        held = '\0';
        return rest;
    }

    private void Take(char c, StringBuilder text)
    {
        switch (state)
        {
            case State.Start:
                if (char.IsWhiteSpace(c)) break;
                if (c is '{')
                {
                    state = State.BeforeName;
                    break;
                }

                Find(c is '"' ? State.Text : State.Raw);
                if (c is not '"') text.Append(c);
                break;
            case State.BeforeName:
                if (c is '}') state = State.Over;
                if (c is not '"') break;
                name.Clear();
                state = State.Name;
                break;
            case State.Name:
                if (Ends(c, name)) state = State.BeforeValue;
                break;
            case State.BeforeValue:
                TakeFirstOfValue(c);
                break;
            case State.Text:
                if (Ends(c, text)) state = State.Over;
                break;
            case State.OtherText:
                if (Ends(c, null)) state = State.Other;
                break;
            case State.Other:
                TakeOther(c);
                break;
            case State.Raw:
                text.Append(c);
                break;
        }
    }

    private void TakeFirstOfValue(char c)
    {
        if (c is ':' || char.IsWhiteSpace(c)) return;
        depth = 0;
        if (c is '"' && name.Equals("input".AsSpan()))
        {
            Find(State.Text);
            return;
        }

        state = State.Other;
        TakeOther(c);
    }

    /// <summary>Passes over a value that is not the text, to the comma behind it or the end of the object.</summary>
    private void TakeOther(char c)
    {
        if (c is '"') state = State.OtherText;
        else if (c is '{' or '[') depth++;
        else if (c is '}' or ']' && depth-- == 0) state = State.Over;
        else if (c is ',' && depth == 0) state = State.BeforeName;
    }

    private void Find(State next)
    {
        state = next;
        found = true;
        all.Clear();
    }

    /// <summary>One character inside a string: adds what it stands for. True when it ends the string.</summary>
    private bool Ends(char c, StringBuilder? text)
    {
        if (!escaped)
        {
            if (c is '"') return true;
            if (c is '\\') escaped = true;
            else text?.Append(c);
            return false;
        }

        if (escape.Length == 0 && c is not 'u')
        {
            escaped = false;
            text?.Append(c switch { 'n' => '\n', 't' => '\t', 'r' => '\r', 'b' => '\b', 'f' => '\f', _ => c });
            return false;
        }

        escape.Append(c);
        if (escape.Length < 5) return false;
        text?.Append(ushort.TryParse(escape.ToString().AsSpan(1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var unit) ? (char)unit : '\ufffd');
        escape.Clear();
        escaped = false;
        return false;
    }
}
