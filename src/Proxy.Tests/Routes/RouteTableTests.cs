using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OpenAiChat;
using Proxy.Routes;

namespace Proxy.Tests.Routes;

public sealed class RouteTableTests
{
    private sealed class Route(string name, Func<RoutedCall, bool> takes) : IChatRoute
    {
        public string Name => name;

        public bool Takes(in RoutedCall call) => takes(call);

        public ValueTask<ChatAnswer> AnswerAsync(RoutedCall call, CancellationToken cancellation) => throw new NotSupportedException();
    }

    private static readonly Route Direct = new("direct", static call => call is { Workspace: null, Pipeline: null });
    private static readonly Route Rag = new("rag", static call => call.Workspace is not null);
    private static readonly Route Workflow = new("workflow", static call => call.Pipeline is not null);

    private static RoutedCall Split(string model, string? route = null, string? pipeline = null, string? workspace = null) => RouteTable.Split(
        new ChatCall(new OpenAiChatClientDialect(), new ChatEnvelope(model, null, default),
            new CallInfo("T", "C", "me") { Route = route, Pipeline = pipeline, Workspace = workspace }, ReadOnlyMemory<byte>.Empty));

    private static ProxyError? Find(string model, string? route, string? pipeline, string? workspace)
    {
        var call = Split(model, route, pipeline, workspace);

        var refusal = new RouteTable([Direct]).Find(call, out var found);

        Assert.Same(refusal is null ? Direct : null, found);
        var other = RouteTable.Refusal(call.Call.Info, model); // what a call that knows one route is told
        Assert.Equal((refusal?.Kind, refusal?.Param), (other?.Kind, other?.Param));
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

    [Theory]
    [InlineData("m", null, null, "m", null, null)]
    [InlineData("m#w", null, null, "m", "w", null)]
    [InlineData("a#b#w", null, null, "a#b", "w", null)]
    [InlineData("m#w", null, "v", "m", "v", null)] // the header goes before the name
    [InlineData("m", null, "w", "m", "w", null)]
    [InlineData("pipeline/p", null, null, "pipeline/p", null, "p")]
    [InlineData("pipeline/p#1", null, "w", "pipeline/p#1", "w", "p#1")] // a pipeline's name is whole
    [InlineData("pipeline/p", "q", null, "pipeline/p", null, "q")]
    [InlineData("m#w", "p", null, "m", "w", "p")]
    [InlineData("#1-model", null, null, "#1-model", null, null)]
    public void Name_says_more_than_a_model_It_is_split(
        string name, string? pipeline, string? workspace, string model, string? intoWorkspace, string? intoPipeline)
    {
        var split = Split(name, null, pipeline, workspace);

        Assert.Equal((model, intoWorkspace, intoPipeline), (split.Model, split.Workspace, split.Pipeline));
        Assert.Equal(name, split.Call.Envelope.Model);
    }

    [Theory]
    [InlineData("m", null, "direct")]
    [InlineData("m#w", null, "rag")]
    [InlineData("m#w", "rag", "rag")]
    [InlineData("pipeline/p", null, "workflow")]
    [InlineData("m#w", "p", "workflow")] // both take it
    public void Several_routes_The_first_that_takes_the_call_gets_it(string model, string? asked, string expected)
    {
        var call = Split(model, asked == "rag" ? asked : null, asked == "p" ? asked : null);

        Assert.Null(new RouteTable([Workflow, Rag, Direct]).Find(call, out var found));

        Assert.Equal(expected, found!.Name);
    }

    [Fact]
    public void Route_is_there_but_another_is_forced_Refused()
    {
        Assert.Equal("x-route", new RouteTable([Workflow, Rag, Direct]).Find(Split("m#w", "direct"), out _)!.Param);
        Assert.Equal("x-pipeline", new RouteTable([Rag, Direct]).Find(Split("m", null, "p"), out _)!.Param);
    }

    [Fact]
    public void Request_is_edited_The_envelope_says_the_same_and_the_bytes_are_gone()
    {
        var body = """{"model":"m#w","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}"""u8.ToArray();
        Assert.Null(EnvelopePeek.Read(body, out var envelope));
        var info = new CallInfo("T", "C", "me");
        var call = RouteTable.Split(new ChatCall(new OpenAiChatClientDialect(), envelope!, info, body) { Headers = [new("accept", "x")] });
        Assert.Null(call.Call.TryGetRequest(out var request));

        var context = new ChatMessage(ChatRole.System, [new ContentPart.Text("context")]);
        var grounded = call.Edited(request! with { Messages = [context, .. request.Messages], IncludeUsage = false });
        var renamed = grounded.Edited(request with { Model = "n" });

        Assert.Equal(("m", "w", true), (grounded.Model, grounded.Workspace, grounded.Call.Streams));
        var said = grounded.Call.Envelope;
        Assert.Equal(("m", 2, true, false), (said.Model, said.Messages, said.Stream, said.IncludeUsage));
        Assert.Equal(("n", "n", 1, true), (renamed.Model, renamed.Call.Envelope.Model, renamed.Call.Envelope.Messages, renamed.Call.Envelope.IncludeUsage));
        Assert.Null(grounded.Call.OriginalBody);
        Assert.Null(grounded.Call.Envelope.StreamOptionsSlice);
        Assert.Null(grounded.Call.TryGetRequest(out var edited));
        Assert.Equal(("m", "context"), (edited!.Model, Assert.IsType<ContentPart.Text>(edited.Messages[0].Content[0]).Value));
        Assert.Equal((call.Call.Info, call.Call.Headers), (grounded.Call.Info, grounded.Call.Headers));
        Assert.Equal("m#w", call.Call.Envelope.Model); // the answer's name
    }
}
