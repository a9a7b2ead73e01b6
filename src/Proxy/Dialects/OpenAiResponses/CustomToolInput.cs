using System.Globalization;
using System.Text;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// Extracts a custom tool's text from the arguments <c>{"input":"…"}</c> that the host sends, while they arrive in pieces that may be cut anywhere. Models
/// make mistakes: arguments that are not an object are taken as the text itself; an object without <c>input</c> is passed on unchanged, for the tool to refuse.
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

    /// <summary>Takes one piece of the arguments and returns the text that it adds.</summary>
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
            held = text[^1]; // sent together with the second half of its surrogate pair
            text.Length--;
        }

        return text.ToString();
    }

    /// <summary>Called when the arguments are complete. Returns the rest of the text.</summary>
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

    /// <summary>Skips a value that is not the text, up to the next comma or the end of the object.</summary>
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

    /// <summary>Reads one character inside a string and appends the character it stands for. True if it ends the string.</summary>
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
        text?.Append(ushort.TryParse(escape.ToString().AsSpan(1), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var unit)
            ? (char)unit
            : '\ufffd');
        escape.Clear();
        escaped = false;
        return false;
    }
}
