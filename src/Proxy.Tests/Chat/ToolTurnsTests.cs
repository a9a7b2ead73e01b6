using Proxy.Chat;

namespace Proxy.Tests.Chat;

public sealed class ToolTurnsTests
{
    [Fact]
    public void Answers_find_their_calls_by_id_by_name_or_by_order()
    {
        ChatMessage[] messages =
        [
            Calls(("a", "weather"), (null, "time"), ("a", "weather"), (null, "time")),
            Answer(name: "time"),
            Answer(id: "a"),
            Answer(),
            Answer(),
            Answer(),
            Answer(id: "unknown"),
            Answer(name: "unknown"),
        ];

        var turns = new ToolTurns(messages);

        Assert.Equal(["a", "call_0_1", "a", "call_0_3"], Enumerable.Range(0, 4).Select(call => turns.IdOfCall(0, call)));
        Assert.Equal(["call_0_1", "a", "a", "call_0_3", null, null, null], Enumerable.Range(1, 7).Select(turns.IdAnswered));
        Assert.Equal(["time", "weather", "weather", "time", null, null, null], Enumerable.Range(1, 7).Select(turns.NameAnswered));
    }

    [Theory]
    [InlineData("id")]
    [InlineData("unknown id")]
    [InlineData("name")]
    [InlineData("order")]
    public void Twice_the_calls_Cost_twice_the_work(string by)
    {
        _ = Cost(by, 1000);
        var (once, twice) = (Cost(by, 20_000), Cost(by, 40_000));

        // Searching all calls for every answer would take four times as long for twice the calls, several seconds.
        Assert.True(twice <= Math.Max(3.5 * once, 0.2), $"{once} s, then {twice} s");
    }

    private static double Cost(string by, int count)
    {
        var messages = new List<ChatMessage>();
        for (var i = 0; i < count; i++) messages.Add(Calls((by is "id" or "unknown id" ? $"id{i}" : null, $"tool{i}")));
        for (var i = 0; i < count; i++)
            messages.Add(Answer(id: by switch { "id" => $"id{i}", "unknown id" => $"no{i}", _ => null }, name: by is "name" ? $"tool{i}" : null));
        var best = double.MaxValue;
        for (var round = 0; round < 3; round++)
        {
            var before = Environment.CpuUsage.UserTime;
            _ = new ToolTurns(messages);
            best = Math.Min(best, (Environment.CpuUsage.UserTime - before).TotalSeconds);
        }

        return best;
    }

    private static ChatMessage Calls(params (string? Id, string Name)[] calls) =>
        new(ChatRole.Assistant, []) { ToolCalls = [.. calls.Select(call => new ToolInvocation(call.Id, call.Name, "{}"))] };

    private static ChatMessage Answer(string? id = null, string? name = null) => new(ChatRole.Tool, []) { ToolCallId = id, ToolName = name };
}
