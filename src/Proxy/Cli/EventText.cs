using System.Text;
using System.Text.Json;

namespace Proxy.Cli;

/// <summary>Prints the events of one answer as text. Of several choices it prints the first.</summary>
/// <param name="output">Where the text goes.</param>
/// <param name="isTerminal">Reasoning is printed dimmed; otherwise it is left out.</param>
/// <param name="labels">Gets a line whenever another task of a workflow speaks; null: nobody is told.</param>
internal sealed class EventText(TextWriter output, bool isTerminal, TextWriter? labels = null)
{
    private const string Dim = "\e[2m", Plain = "\e[0m";

    private readonly StringBuilder call = new();
    private int? calling;
    private string? speaking;
    private bool isDim, atLineStart = true, hasFinished, hasBegun;

    /// <summary>Why the answer failed; null: it is complete, or there was nothing to read.</summary>
    public string? Error
    {
        get => field ?? (hasBegun && !hasFinished ? "the answer ended before it was complete" : null);
        private set;
    }

    public void See(string line, bool prints)
    {
        using var parsed = JsonDocument.Parse(line);
        var happened = parsed.RootElement;
        hasBegun = true;
        if (happened.TryGetProperty("choice", out var choice) && choice.GetInt32() != 0) return;
        var type = Text(happened, "type");
        if (type is "finished")
        {
            hasFinished = true;
            if (happened.TryGetProperty("error", out var error)) Error = Text(error, "message") ?? "the answer failed";
        }

        if (!prints) return;
        if (labels is not null && Text(happened, "task") is { } task && task != speaking) Label(task, Text(happened, "model"));
        if (type is "tool_call")
        {
            SeeCall(happened);
            return;
        }

        EndCall();
        if (type is "token") SeeToken(Text(happened, "text") ?? "", Text(happened, "kind"));
        else if (type is "finished") EndLine();
    }

    private void Label(string task, string? model)
    {
        EndCall();
        EndLine();
        output.Flush();
        labels!.WriteLine(model is null ? $"[{task}]" : $"[{task}: {model}]");
        speaking = task;
    }

    private static string? Text(JsonElement from, string name) => from.TryGetProperty(name, out var value) ? value.GetString() : null;

    private void SeeToken(string text, string? kind)
    {
        var isReasoning = kind is "reasoning";
        if (text.Length == 0 || (isReasoning && !isTerminal)) return;
        if (isReasoning != isDim) output.Write(isReasoning ? Dim : Plain + (atLineStart ? "" : "\n"));
        isDim = isReasoning;
        output.Write(text);
        atLineStart = text[^1] == '\n';
    }

    /// <summary>A call comes in pieces: its name, then its arguments.</summary>
    private void SeeCall(JsonElement piece)
    {
        var index = piece.TryGetProperty("index", out var number) ? number.GetInt32() : 0;
        if (calling != index) EndCall();
        if (calling is null) call.Append(Text(piece, "name")).Append('(');
        calling = index;
        call.Append(Text(piece, "arguments"));
    }

    private void EndCall()
    {
        if (calling is null) return;
        EndLine();
        output.WriteLine(call.Append(')').ToString());
        call.Clear();
        calling = null;
    }

    private void EndLine()
    {
        if (isDim) output.Write(Plain);
        if (!atLineStart) output.WriteLine();
        (isDim, atLineStart) = (false, true);
    }
}
