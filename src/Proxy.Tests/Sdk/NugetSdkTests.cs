using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using OllamaSharp;
using OllamaSharp.Models.Chat;
using OllamaSharp.Models.Exceptions;
using OpenAI;
using OpenAI.Chat;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Sdk;

/// <summary>The .NET clients that are in common use, with a real engine and with hosts that break off.</summary>
[Collection(RealClients.Name)]
[Trait("Category", "Sdk")]
public sealed class NugetSdkTests(SdkDoor door)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private OpenAIClient Client =>
        new(new ApiKeyCredential("sk-unused"), new OpenAIClientOptions { Endpoint = new Uri(door.Address, "/v1"), RetryPolicy = new ClientRetryPolicy(0) });

    [Fact]
    public async Task OpenAI_chat_A_real_engine_answers()
    {
        var completion = (await Client.GetChatClient("tiny-bigram").CompleteChatAsync([new UserChatMessage("hello")], cancellationToken: Stop)).Value;

        Assert.Matches(@"\w+ \w+", completion.Content[0].Text);
        Assert.Equal("tiny-bigram", completion.Model);
        Assert.True(completion.Usage.OutputTokenCount > 0);
    }

    [Fact]
    public async Task OpenAI_stream_A_real_engine_answers_in_pieces()
    {
        var pieces = new List<string>();
        await foreach (var update in Client.GetChatClient("tiny-bigram").CompleteChatStreamingAsync([new UserChatMessage("hello")], cancellationToken: Stop))
            pieces.AddRange(update.ContentUpdate.Select(part => part.Text));

        Assert.True(pieces.Count > 3);
        Assert.Matches(@"\w+ \w+", string.Concat(pieces));
    }

    [Theory]
    [InlineData("fake-two-tools")]
    [InlineData("native-two-tools")]
    public async Task OpenAI_tools_Both_calls_arrive_whole(string model)
    {
        var options = new ChatCompletionOptions { Tools = { ChatTool.CreateFunctionTool("get_weather", "the weather",
            BinaryData.FromString("""{"type":"object","properties":{"city":{"type":"string"}}}""")) } };

        var completion = (await Client.GetChatClient(model).CompleteChatAsync([new UserChatMessage("hello")], options, Stop)).Value;
        var streamed = new SortedDictionary<int, string>();
        await foreach (var update in Client.GetChatClient(model).CompleteChatStreamingAsync([new UserChatMessage("hello")], options, Stop))
        {
            foreach (var call in update.ToolCallUpdates)
                streamed[call.Index] = streamed.GetValueOrDefault(call.Index, "") + call.FunctionArgumentsUpdate;
        }

        Assert.Equal(ChatFinishReason.ToolCalls, completion.FinishReason);
        foreach (var arguments in new[] { completion.ToolCalls.Select(call => call.FunctionArguments.ToString()), streamed.Values })
            Assert.Equal(["Paris", "Rome"], arguments.Select(text => JsonElement.Parse(text).GetProperty("city").GetString()));
    }

    [Fact]
    public async Task OpenAI_models_and_embeddings_Both_answer()
    {
        var models = (await Client.GetOpenAIModelClient().GetModelsAsync(Stop)).Value;
        var embedding = (await Client.GetEmbeddingClient("tiny-bigram").GenerateEmbeddingAsync("the cat", cancellationToken: Stop)).Value;

        Assert.Contains(models, model => model.Id == "tiny-bigram");
        Assert.Equal(1024, embedding.ToFloats().Length);
    }

    [Theory]
    [InlineData("never-heard-of", 404)]
    [InlineData("fake-429", 429)]
    [InlineData("fake-down", 502)]
    [InlineData("native-not-done", 502)]
    public async Task OpenAI_call_fails_The_client_knows_the_status(string model, int status)
    {
        var failure = await Assert.ThrowsAsync<ClientResultException>(() => Client.GetChatClient(model)
            .CompleteChatAsync([new UserChatMessage("hello")], cancellationToken: Stop));

        // A host that is known to be down is answered with 503.
        Assert.Equal(status, failure.Status == 503 ? 502 : failure.Status);
    }

    [Fact]
    public async Task Ollama_chat_and_stream_A_real_engine_and_a_native_host_answer()
    {
        foreach (var (model, expected) in new[] { ("tiny-bigram", @"\w+ \w+"), ("native-hello", "^Héllo 😀$") })
        {
            using var client = new OllamaApiClient(door.Address, model);
            var pieces = new List<string>();
            await foreach (var piece in new OllamaSharp.Chat(client).SendAsync("hello", Stop))
                pieces.Add(piece);

            Assert.True(pieces.Count > 2, model);
            Assert.Matches(expected, string.Concat(pieces));
        }
    }

    [Theory]
    [InlineData("native-two-tools")]
    [InlineData("fake-two-tools")]
    public async Task Ollama_tools_Both_calls_arrive(string model)
    {
        using var client = new OllamaApiClient(door.Address, model);
        var request = new ChatRequest
        {
            Model = model,
            Messages = [new Message(OllamaSharp.Models.Chat.ChatRole.User, "hello")],
            Tools = [new Tool { Function = new Function { Name = "get_weather", Description = "the weather",
                Parameters = new Parameters { Properties = new Dictionary<string, Property> { ["city"] = new() { Type = "string" } } } } }],
        };

        var calls = new List<string?>();
        await foreach (var piece in client.ChatAsync(request, Stop))
            calls.AddRange((piece?.Message.ToolCalls ?? []).Select(call => call.Function?.Arguments?["city"]?.ToString()));

        Assert.Equal(["Paris", "Rome"], calls);
    }

    [Fact]
    public async Task Ollama_models_and_errors_Both_are_told()
    {
        using var client = new OllamaApiClient(door.Address, "never-heard-of");

        var models = await client.ListLocalModelsAsync(Stop);
        var failure = await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            await foreach (var _ in new OllamaSharp.Chat(client).SendAsync("hello", Stop))
            {
            }
        });

        Assert.Contains(models, model => model.Name.StartsWith("tiny-bigram", StringComparison.Ordinal));
        Assert.True(failure is HttpRequestException or OllamaException, failure.ToString());
    }
}
