extern alias AnthropicSdk;

using System.Net;
using System.Text.Json;
using AnthropicSdk::Anthropic;
using AnthropicSdk::Anthropic.Exceptions;
using AnthropicSdk::Anthropic.Models.Messages;

namespace Proxy.Tests.Sdk;

/// <summary>Anthropic's own client for .NET, which checks each answer against its types, with hosts of every dialect.</summary>
[Collection(RealClients.Name)]
[Trait("Category", "Sdk")]
public sealed class AnthropicSdkTests(SdkDoor door)
{
    private static readonly MessageParam Hello = new UserMessageParam("hello");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private AnthropicClient Client =>
        new() { BaseUrl = door.Address.GetLeftPart(UriPartial.Authority), ApiKey = "sk-unused", MaxRetries = 0, ResponseValidation = true };

    [Theory]
    [InlineData("any-openai")]
    [InlineData("any-ollama")]
    [InlineData("any-anthropic")]
    public async Task Message_Arrives_whole_and_in_pieces(string model)
    {
        var message = await Client.Messages.Create(Ask(model, Hello), Stop);
        var pieces = new List<string>();
        await foreach (var item in Client.Messages.CreateStreaming(Ask(model, Hello), Stop))
        {
            if (item.TryPickContentBlockDelta(out var delta) && delta.Delta.TryPickText(out var text)) pieces.Add(text.Text);
        }

        Assert.Equal("Héllo 😀", Words(message));
        Assert.Equal(["Hé", "llo ", "😀"], pieces);
        Assert.Equal(model, message.Model.Raw());
        Assert.Equal(StopReason.EndTurn, message.StopReason?.Value());
        Assert.Equal((9, 7), (message.Usage.InputTokens, message.Usage.OutputTokens));
    }

    [Theory]
    [InlineData("any-openai")]
    [InlineData("any-ollama")]
    [InlineData("any-anthropic")]
    public async Task Tools_Both_calls_arrive_and_their_results_go_back(string model)
    {
        ToolUnion[] tools = [new Tool { Name = "get_weather",
            InputSchema = new InputSchema { Properties = new Dictionary<string, JsonElement> { ["city"] = JsonElement.Parse("""{"type":"string"}""") } } }];

        var message = await Client.Messages.Create(Ask(model, Hello) with { Tools = tools }, Stop);

        Assert.Equal(StopReason.ToolUse, message.StopReason?.Value());
        var calls = message.Content.Select(block => block.TryPickToolUse(out var call) ? call : null).OfType<ToolUseBlock>().ToArray();
        Assert.Equal([("call_a", "Paris"), ("call_b", "Rome")], calls.Select(call => (call.ID, call.Input["city"].GetString()!)));

        ContentBlockParam[] asked = [.. calls.Select(call => (ContentBlockParam)new ToolUseBlockParam { ID = call.ID, Name = call.Name, Input = call.Input })];
        ContentBlockParam[] answered = [new ToolResultBlockParam("call_a") { Content = "sunny" }, new ToolResultBlockParam("call_b") { Content = "rain" }];
        var next = await Client.Messages.Create(Ask(model, Hello, new AssistantMessageParam { Content = new(asked) },
            new UserMessageParam { Content = new(answered) }) with { Tools = tools }, Stop);
        Assert.Equal("sunny, rain", Words(next));
    }

    [Theory]
    [InlineData("any-openai")]
    [InlineData("any-ollama")]
    [InlineData("any-anthropic")]
    public async Task Thought_and_limit_Are_told(string model)
    {
        var thoughtful = await Client.Messages.Create(Ask(model, new UserMessageParam("think")), Stop);
        var cut = await Client.Messages.Create(Ask(model, new UserMessageParam("long")), Stop);

        Assert.Equal("Let me think.",
            Assert.Single(thoughtful.Content, block => block.TryPickThinking(out _)).TryPickThinking(out var thinking) ? thinking.Thinking : null);
        Assert.Equal(StopReason.MaxTokens, cut.StopReason?.Value());
    }

    [Theory]
    [InlineData("any-openai")]
    [InlineData("any-ollama")]
    public async Task Count_Grows_with_the_text(string model)
    {
        var few = await Client.Messages.CountTokens(new MessageCountTokensParams { Model = model, Messages = [Hello] }, Stop);
        var many = await Client.Messages.CountTokens(new MessageCountTokensParams { Model = model,
            Messages = [new UserMessageParam(string.Concat(Enumerable.Repeat("hello ", 500)))] }, Stop);

        Assert.InRange(few.InputTokens, 1, many.InputTokens - 400);
    }

    [Fact]
    public async Task Models_Are_listed()
    {
        var models = await Client.Models.List(cancellationToken: Stop);

        Assert.Contains(models.Items, model => model.ID == "any-openai");
    }

    [Theory]
    [InlineData("any-openai", "refuse", HttpStatusCode.BadRequest, "I take no such prompt")]
    [InlineData("any-ollama", "refuse", HttpStatusCode.BadRequest, "I take no such prompt")]
    [InlineData("never-heard-of", "hello", HttpStatusCode.NotFound, "never-heard-of")]
    [InlineData("fake-down", "hello", HttpStatusCode.BadGateway, "")]
    public async Task Call_fails_The_client_knows_why(string model, string text, HttpStatusCode status, string said)
    {
        var failure = await Assert.ThrowsAnyAsync<AnthropicApiException>(() => Client.Messages.Create(Ask(model, new UserMessageParam(text)), Stop));

        // A host that is known to be down is answered with the status for "overloaded".
        Assert.Equal(status, (int)failure.StatusCode == 529 ? HttpStatusCode.BadGateway : failure.StatusCode);
        Assert.Contains(said, failure.Message);
    }

    private static MessageCreateParams Ask(string model, params MessageParam[] messages) => new() { Model = model, MaxTokens = 2048, Messages = messages };

    private static string Words(Message message) => string.Concat(message.Content.Select(block => block.TryPickText(out var text) ? text.Text : null));
}
