using Proxy.Chat;
using Proxy.Routes;

namespace Proxy.Tests.Routes;

public sealed class RouteTableTests
{
    private sealed class Direct : IChatRoute
    {
        public string Name => "direct";

        public ValueTask<ChatAnswer> AnswerAsync(ChatCall call, CancellationToken cancellation) => throw new NotSupportedException();
    }

    private static ProxyError? Find(string model, string? route, string? pipeline, string? workspace)
    {
        var direct = new Direct();
        var refusal = new RouteTable(direct).Find(new CallInfo("T", "C", "me") { Route = route, Pipeline = pipeline, Workspace = workspace }, model,
            out var found);
        if (refusal is null) Assert.Same(direct, found);
        return refusal;
    }

    [Theory]
    [InlineData("m", null)]
    [InlineData("m", "direct")]
    [InlineData("qwen3@q4_k_m", null)] // a model name of LM Studio
    [InlineData("org/pipeline/x", null)]
    [InlineData("#1-model", null)]
    public void Nothing_but_a_model_is_asked_for_It_is_direct(string model, string? route)
    {
        Assert.Null(Find(model, route, null, null));
    }

    [Theory]
    [InlineData("m", null, "p", null, "x-pipeline", "pipeline 'p'")]
    [InlineData("m", null, null, "w", "x-workspace", "workspace 'w'")]
    [InlineData("m", null, "p", "w", "x-pipeline", "pipeline 'p'")] // the workspace is passed to the pipeline
    [InlineData("pipeline/p", null, null, null, "model", "pipeline 'p'")]
    [InlineData("m#w", null, null, null, "model", "workspace 'w'")]
    [InlineData("a#b#w", null, null, null, "model", "workspace 'w'")]
    [InlineData("pipeline/p", null, null, "w", "model", "pipeline 'p'")]
    [InlineData("m", "workflow", "p", null, "x-pipeline", "pipeline 'p'")]
    [InlineData("m", "rag", null, "w", "x-workspace", "workspace 'w'")]
    [InlineData("m#w", "rag", null, null, "model", "workspace 'w'")]
    // headers and names that contradict each other
    [InlineData("m", "sideways", null, null, "x-route", "sideways")]
    [InlineData("m", "Direct", null, null, "x-route", "Direct")]
    [InlineData("m", "rag", null, null, "x-route", "no x-workspace")]
    [InlineData("m", "workflow", null, null, "x-route", "no x-pipeline")]
    [InlineData("m", "direct", null, "w", "x-route", "workspace 'w'")]
    [InlineData("m", "direct", "p", null, "x-route", "pipeline 'p'")]
    [InlineData("m#w", "direct", null, null, "x-route", "workspace 'w'")]
    [InlineData("pipeline/p", "direct", null, null, "x-route", "pipeline 'p'")]
    [InlineData("m", "workflow", null, "w", "x-route", "workspace 'w'")]
    [InlineData("m", "rag", "p", "w", "x-route", "pipeline 'p'")]
    public void Something_else_is_asked_for_Refused_by_its_name(string model, string? route, string? pipeline, string? workspace, string param, string said)
    {
        var refusal = Find(model, route, pipeline, workspace)!;

        Assert.Equal((400, param), (refusal.Status, refusal.Param));
        Assert.Contains(said, refusal.Message, StringComparison.Ordinal);
    }
}
