using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>An answer folded from its events: the content of a whole reply, independent of any dialect.</summary>
internal sealed class WholeAnswer
{
    private WholeAnswer() { }

    public string? Id { get; private set; }
    public long? Created { get; private set; }

    /// <summary>The opaque part of the first event: facts that only some dialects can express.</summary>
    public JsonElement? Opaque { get; private set; }
    public Usage? Usage { get; private set; }

    public ProxyNote Note;

    /// <summary>Sorted by number; never empty.</summary>
    public List<WholeChoice> Choices { get; } = [];

    public static WholeAnswer Of(IReadOnlyList<ChatEvent> events, ReplyStamp stamp = default)
    {
        var whole = new WholeAnswer { Note = new(stamp) };
        for (var i = 0; i < events.Count; i++) whole.Add(events[i]);
        if (whole.Choices.Count == 0) whole.Choices.Add(new WholeChoice(0));
        whole.Choices.Sort(static (a, b) => a.Number.CompareTo(b.Number));
        foreach (var choice in whole.Choices) WholeToolCall.Sort(choice.ToolCalls);
        return whole;
    }

    private void Add(ChatEvent happened)
    {
        Note.See(happened);
        switch (happened)
        {
            case ChatEvent.Started started:
                Id = started.Id;
                Created = started.Created;
                Opaque = started.Opaque;
                break;
            case ChatEvent.UsageReported reported:
                Usage = reported.Usage;
                break;
            case ChatEvent.RoleGiven:
                Choice(happened.Choice);
                break;
            case ChatEvent.Token token:
                Choice(happened.Choice).Add(token);
                break;
            case ChatEvent.ToolCall call:
                Choice(happened.Choice).Add(call);
                break;
            case ChatEvent.Finished finished:
                var choice = Choice(happened.Choice);
                choice.Reason = finished.Reason;
                choice.FinishOpaque = finished.Opaque;
                break;
        }
    }

    private WholeChoice Choice(int number)
    {
        foreach (var known in Choices)
        {
            if (known.Number == number) return known;
        }

        var added = new WholeChoice(number);
        Choices.Add(added);
        return added;
    }
}

internal sealed class WholeChoice(int number)
{
    private JoinedText answer, reasoning, refusal;

    public int Number => number;
    public string Answer => answer.ToString();
    public string Reasoning => reasoning.ToString();
    public string Refusal => refusal.ToString();
    public List<WholeToolCall> ToolCalls { get; } = [];

    /// <summary>The <c>logprobs</c> of each piece, in order.</summary>
    public List<JsonElement> LogProbabilities { get; } = [];
    public JsonElement? FinishOpaque { get; set; }

    /// <summary>The finish reason. <c>Stop</c> becomes <c>ToolCalls</c> if there are calls.</summary>
    public FinishReason Reason { get => field is FinishReason.Stop && ToolCalls.Count > 0 ? FinishReason.ToolCalls : field; set; }

    public void Add(ChatEvent.Token token)
    {
        switch (token.Kind)
        {
            case TokenKind.Reasoning: reasoning.Append(token.Text); break;
            case TokenKind.Refusal: refusal.Append(token.Text); break;
            default: answer.Append(token.Text); break;
        }

        if (token.Opaque.Member("logprobs"u8) is { } probabilities) LogProbabilities.Add(probabilities);
    }

    public void Add(ChatEvent.ToolCall piece) => WholeToolCall.Add(ToolCalls, piece);
}

internal sealed class WholeToolCall(int index)
{
    private JoinedText arguments;

    public int Index => index;
    public string? Id { get; set; }
    public string? Name { get; set; }

    /// <summary>JSON text as the model wrote it. May be empty or invalid.</summary>
    public string Arguments => arguments.ToString();

    /// <summary>The complete call as one event.</summary>
    public ChatEvent.ToolCall ToPiece(int choice) => new(Index, Id, Name, Arguments.Length == 0 ? null : Arguments) { Choice = choice };

    /// <summary>True once the name has arrived. Until then a stream cannot start the call.</summary>
    public bool IsNamed => !string.IsNullOrEmpty(Name);

    /// <summary>Sorts calls into the order in which the model made them. A call without arguments is emitted late.</summary>
    public static void Sort(List<WholeToolCall> calls)
    {
        if (calls.Count > 1) calls.Sort(static (a, b) => a.Index.CompareTo(b.Index));
    }

    /// <summary>Adds a piece to its call in the list, or a new call. The name may arrive late, or be empty at first.</summary>
    public static WholeToolCall Add(List<WholeToolCall> calls, ChatEvent.ToolCall piece)
    {
        var call = calls.Find(known => known.Index == piece.Index);
        if (call is null) calls.Add(call = new WholeToolCall(piece.Index));
        call.Id ??= piece.Id;
        if (!call.IsNamed) call.Name = piece.Name;
        call.arguments.Append(piece.Arguments);
        return call;
    }
}

/// <summary>A text of one piece, which is not copied, or of many. A mutable struct: store it in a field.</summary>
internal struct JoinedText
{
    private string? one;
    private StringBuilder? many;

    public void Append(string? piece)
    {
        if (string.IsNullOrEmpty(piece)) return;
        if (many is not null) many.Append(piece);
        else if (one is null) one = piece;
        else (many, one) = (new StringBuilder(one).Append(piece), null);
    }

    public override string ToString()
    {
        if (many is not null) (one, many) = (many.ToString(), null);
        return one ?? "";
    }
}
