using Proxy.Chat;
using Proxy.Config;

namespace Proxy.Workflows;

/// <summary>
/// Chooses what the client sees of a job whose tasks speak in parallel: the first that speaks, one that the configuration names, or the winner, whose words are
/// held until the job names it. What no task says (events without one) is always shown.
/// </summary>
/// <param name="pipeline">Says which branch to show.</param>
/// <param name="tools">The tools that the client offers. Calls of others were carried out by the job.</param>
internal sealed class Branches(PipelineConfig pipeline, IReadOnlyList<ToolDefinition> tools)
{
    /// <summary>Characters of text that are held for a winner.</summary>
    private const int MostHeld = 8 << 20;

    private readonly bool holds = pipeline.Present is PipelineConfig.WinningBranch;
    private readonly string? named = pipeline.Present.StartsWith(PipelineConfig.TaskPrefix, StringComparison.Ordinal)
        ? pipeline.Present[PipelineConfig.TaskPrefix.Length..] : null;

    private readonly List<ChatEvent> held = [];
    private readonly List<(string? Task, Usage Usage)> counts = [];
    private readonly List<ToolPlace> calls = [];
    private string? first;
    private long heldLength;
    private int clientCalls;

    /// <summary>The client has content.</summary>
    public bool HasSpoken { get; private set; }

    /// <summary>The client has, or may have, a call of one of its tools, which cannot be taken back.</summary>
    public bool HasCalled => HasSpoken && clientCalls > 0;

    /// <summary>Adds what the client is to see of an event. The last one is <see cref="ChatEvent.Finished"/>.</summary>
    /// <param name="said">The event.</param>
    /// <param name="isWholeCall">It is a call of a tool in one piece.</param>
    /// <param name="shown">Receives the events.</param>
    public void Take(ChatEvent said, bool isWholeCall, List<ChatEvent> shown)
    {
        // Its number is of no use any more, and an attempt that starts again would repeat it.
        said = said with { Choice = 0, Origin = said.Origin is { } origin ? origin with { Seq = null } : null };
        switch (said)
        {
            case ChatEvent.Finished finished:
                Finish(finished, shown);
                break;
            case ChatEvent.UsageReported reported:
                counts.RemoveAll(known => known.Task == said.Origin?.Task);
                counts.Add((said.Origin?.Task, reported.Usage));
                break;
            case ChatEvent.SourcesFound:
                shown.Add(said);
                break;
            case ChatEvent.Token { Text.Length: 0 } or ChatEvent.RoleGiven or ChatEvent.Started:
                break;
            default:
                Speak(said, isWholeCall, shown);
                break;
        }
    }

    /// <summary>Another attempt begins. What the client has stays; what was held does not.</summary>
    public void Restart()
    {
        held.Clear();
        counts.Clear();
        calls.Clear();
        (first, heldLength) = (null, 0);
    }

    /// <summary>The token counts of all tasks together; null: none was reported.</summary>
    public Usage? Total()
    {
        if (counts.Count == 0) return null;
        var total = new Usage(0, 0);
        foreach (var (_, usage) in counts)
        {
            total = counts.Count == 1 ? usage : new Usage(total.InputTokens + usage.InputTokens, total.OutputTokens + usage.OutputTokens)
            {
                CachedInputTokens = Sum(total.CachedInputTokens, usage.CachedInputTokens),
                ReasoningTokens = Sum(total.ReasoningTokens, usage.ReasoningTokens),
            };
        }

        return total;
    }

    private static int? Sum(int? one, int? other) => one is null ? other : one + (other ?? 0);

    private void Speak(ChatEvent said, bool isWholeCall, List<ChatEvent> shown)
    {
        var task = said.Origin?.Task;
        if (holds && task is not null)
        {
            heldLength += Length(said);
            if (heldLength > MostHeld) shown.Add(Failure($"its tasks said more than {MostHeld >> 20} million characters before one of them won"));
            else held.Add(isWholeCall ? said with { Choice = -1 } : said);
            return;
        }

        if (task is not null && task != (named ?? (first ??= task))) return;
        Show(said, isWholeCall, shown);
    }

    private void Show(ChatEvent said, bool isWholeCall, List<ChatEvent> shown)
    {
        if (said is ChatEvent.ToolCall call)
        {
            ShowCall(call, isWholeCall, shown);
            return;
        }

        HasSpoken |= said is ChatEvent.Token;
        shown.Add(said);
    }

    private void ShowCall(ChatEvent.ToolCall call, bool isWholeCall, List<ChatEvent> shown)
    {
        var task = call.Origin?.Task;
        var place = isWholeCall ? null : calls.Find(one => one.Index == call.Index && one.Task == task);
        if (place is null)
        {
            var forClient = pipeline.ToolCalls is "client" || (call.Name is { } name && Offers(name));
            place = new(task, call.Index, forClient ? clientCalls++ : -1);
            if (!isWholeCall) calls.Add(place);
        }

        if (place.Shown >= 0)
        {
            HasSpoken = true;
            shown.Add(call with { Index = place.Shown });
        }
        else if (pipeline.ToolCalls is "reasoning")
        {
            var text = call.Name is { } called ? $"\n{called} {call.Arguments}" : call.Arguments;
            if (string.IsNullOrEmpty(text)) return;
            HasSpoken = true;
            shown.Add(new ChatEvent.Token(isWholeCall ? text + "\n" : text, TokenKind.Reasoning) { Origin = call.Origin });
        }
    }

    private bool Offers(string name)
    {
        foreach (var tool in tools)
        {
            if (tool.Name == name) return true;
        }

        return false;
    }

    private void Finish(ChatEvent.Finished finished, List<ChatEvent> shown)
    {
        if (finished.Error is null && holds && held.Count > 0 && !Reveal(finished.Winner, shown))
        {
            shown.Add(Failure(finished.Winner is { } winner ? $"it named the winner '{winner}', and none of its tasks has that name or model"
                : "it named no winner, and several of its tasks spoke"));
            return;
        }

        if (finished.Error is null && Total() is { } total) shown.Add(new ChatEvent.UsageReported(total));
        shown.Add(finished.Reason is FinishReason.Stop && clientCalls > 0 ? finished with { Reason = FinishReason.ToolCalls } : finished);
    }

    /// <summary>Shows what the winner said. False: no task has that name or uses that model.</summary>
    private bool Reveal(string? winner, List<ChatEvent> shown)
    {
        string? task = null;
        foreach (var said in held)
        {
            var origin = said.Origin!;
            if (winner is null && task is not null && origin.Task != task) return false;
            if (winner is null || origin.Task == winner || (task is null && origin.Model is { } model && ModelName.Same(model, winner))) task = origin.Task;
            if (winner is not null && task == winner) break;
        }

        if (task is null) return false;
        foreach (var said in held)
        {
            if (said.Origin!.Task == task) Show(said with { Choice = 0 }, said.Choice < 0, shown);
        }

        return true;
    }

    private static int Length(ChatEvent said) => 64 + (said switch
    {
        ChatEvent.Token token => token.Text.Length,
        ChatEvent.ToolCall call => call.Arguments?.Length ?? 0,
        _ => 0,
    });

    private static ChatEvent.Finished Failure(string why) =>
        new(FinishReason.Error, Error: new ProxyError(ProxyErrorKind.HostFailed, $"the job of the pipeline failed: {why}"));

    /// <summary>A call of a tool whose pieces are still coming; <paramref name="Shown"/> is its index for the client, -1 if it is not the client's.</summary>
    private sealed record ToolPlace(string? Task, int Index, int Shown);
}
