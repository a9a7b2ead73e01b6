using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OpenAiChat;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Dialects;

/// <summary>Validates our output against the OpenAPI specifications of OpenAI and Ollama, with a schema library as the judge.</summary>
public sealed class ConformanceTests
{
    public static TheoryData<string> Scenarios() => [.. Wire.Scenarios.Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Events_of_a_response_Are_as_the_specification_says(string scenario)
    {
        var schema = OpenApiSchema.OpenAi;
        var events = Data(scenario, "responses.sse");

        Assert.NotEmpty(events);
        Assert.All(events, schema.ValidResponseEvent);
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Whole_answers_Are_as_the_specification_says(string scenario)
    {
        if (scenario == "broken_off") return; // an answer that broke off has no whole form
        OpenApiSchema.OpenAi.Valid("Response", Text(scenario, "responses.whole.json"));
        OpenApiSchema.OpenAi.Valid("CreateChatCompletionResponse", Text(scenario, "openai.whole.json"));
        // a completion calls no tools
        if (Exists(scenario, "completions.whole.json")) OpenApiSchema.OpenAi.Valid("CreateCompletionResponse", Text(scenario, "completions.whole.json"));
        OpenApiSchema.Ollama.Valid("ChatResponse", Text(scenario, "ollama.whole.json"));
        if (Exists(scenario, "generate.whole.json")) OpenApiSchema.Ollama.Valid("GenerateResponse", Text(scenario, "generate.whole.json"));
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Lines_for_Ollamas_clients_Are_as_the_specification_says(string scenario)
    {
        var specification = OpenApiSchema.Ollama;
        foreach (var (file, schema) in new[] { ("ollama.jsonl", "ChatStreamEvent"), ("generate.jsonl", "GenerateStreamEvent") })
        {
            if (file == "generate.jsonl" && !Exists(scenario, file)) continue;
            var lines = Text(scenario, file).Split('\n', StringSplitOptions.RemoveEmptyEntries);

            Assert.NotEmpty(lines);
            Assert.All(lines, line => specification.Valid(line.StartsWith("{\"error\"", StringComparison.Ordinal) ? "ErrorResponse" : schema, line));
        }
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Chunks_of_a_chat_Are_as_the_specification_says(string scenario)
    {
        var schema = OpenApiSchema.OpenAi;
        var chunks = Data(scenario, "openai.sse").Where(data => data != "[DONE]").ToList();


        Assert.NotEmpty(chunks);
        Assert.All(chunks,
            chunk => schema.Valid(chunk.StartsWith("{\"error\"", StringComparison.Ordinal) ? "ErrorResponse" : "CreateChatCompletionStreamResponse", chunk));
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Pieces_of_a_completion_Are_as_the_specification_says(string scenario)
    {
        if (!Exists(scenario, "completions.sse")) return;
        var pieces = Data(scenario, "completions.sse").Where(data => data != "[DONE]").ToList();

        Assert.NotEmpty(pieces);
        foreach (var piece in pieces)
        {
            // The specification uses one schema for a whole completion and for its chunks. It does not allow a chunk whose finish reason and usage are still
            // null.
            var ended = piece.Replace("\"finish_reason\":null", "\"finish_reason\":\"stop\"", StringComparison.Ordinal)
                .Replace(",\"usage\":null", "", StringComparison.Ordinal);
            OpenApiSchema.OpenAi.Valid(piece.StartsWith("{\"error\"", StringComparison.Ordinal) ? "ErrorResponse" : "CreateCompletionResponse", ended);
        }
    }

    [Fact]
    public void Response_that_repeats_a_request_Is_as_the_specification_says()
    {
        var client = DialectTable.Client(DialectName.OpenAiResponses)!;
        foreach (var body in new[] { OpenAiResponsesTests.Codex, OpenAiResponsesTests.Everything })
        {
            Assert.Null(client.ReadRequest(Wire.Bytes(body), out var request));
            var stamp = Wire.Stamp with { Request = request };
            List<ChatEvent> events = [new ChatEvent.Started(null, null, null), new ChatEvent.Token("why", TokenKind.Reasoning), new ChatEvent.Token("so"),
                new ChatEvent.UsageReported(new Usage(3, 4)), new ChatEvent.Finished(FinishReason.Stop)];

            OpenApiSchema.OpenAi.Valid("Response", Wire.Text(output => client.WriteWhole(events, stamp, output)));
            Assert.All(DataOf(Wire.Write(client, events, stamp)), OpenApiSchema.OpenAi.ValidResponseEvent);
        }
    }

    [Fact]
    public void Models_and_errors_Are_as_the_specification_says()
    {
        List<ModelListing> models = [new("a") { ContextLength = 4096 },
            new("b/c:latest") { Created = DateTimeOffset.UnixEpoch, OwnedBy = "library", Capabilities = ["completion", "vision"] }];

        OpenApiSchema.Ollama.Valid("ListResponse", Wire.Text(output => OllamaListing.WriteTags(models, output)));
        OpenApiSchema.Ollama.Valid("PsResponse", Wire.Text(output => OllamaListing.WriteRunning(models, Wire.Stamp.Created, output)));
        OpenApiSchema.OpenAi.Valid("ListModelsResponse", Wire.Text(output => OpenAiModelList.Write(models, output)));
        OpenApiSchema.OpenAi.Valid("Model", Wire.Text(output => OpenAiModelList.WriteOne(models[0], output)));
        foreach (var kind in Enum.GetValues<ProxyErrorKind>())
        {
            var error = new ProxyError(kind, "no") { Param = kind is ProxyErrorKind.InvalidRequest ? "input" : null };
            foreach (var client in DialectTable.Clients.Where(client => client.Name is DialectName.OpenAiChat or DialectName.OpenAiCompletions
                or DialectName.OpenAiResponses))
                OpenApiSchema.OpenAi.Valid("ErrorResponse", Wire.Text(output => client.WriteError(error, "t", output)));
            foreach (var client in DialectTable.Clients.Where(client => client.Name is DialectName.OllamaChat or DialectName.OllamaGenerate))
                OpenApiSchema.Ollama.Valid("ErrorResponse", Wire.Text(output => client.WriteError(error, "t", output)));
        }
    }

    [Theory]
    [InlineData("Response", """{"id":"resp_1","object":"response"}""")]
    [InlineData("Response", """{"id":1}""")]
    [InlineData("ErrorResponse", """{"error":{"message":"x","type":"y","param":1,"code":null}}""")]
    [InlineData("ResponseTextDeltaEvent",
        """{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"x","sequence_number":1}""")]
    [InlineData("ResponseTextDeltaEvent",
        """{"type":"response.output_text.done","item_id":"m","output_index":0,"content_index":0,"delta":"x","sequence_number":1,"logprobs":[]}""")]
    [InlineData("CreateChatCompletionResponse",
        """{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant"},"finish_reason":"nonsense"}]}""")]
    public void What_breaks_the_specification_Is_seen(string schema, string document) => Assert.NotEmpty(OpenApiSchema.OpenAi.Problems(schema, document));

    [Theory]
    [InlineData("ChatStreamEvent", """{"model":"m","message":{"content":7},"done":false}""")]
    [InlineData("ChatResponse", """{"model":"m","message":{"role":"user","content":"x"},"done":"yes"}""")]
    [InlineData("ListResponse", """{"models":[{"size":"big"}]}""")]
    [InlineData("ErrorResponse", """{"error":{"message":"x"}}""")]
    public void What_breaks_Ollamas_specification_Is_seen(string schema, string document) => Assert.NotEmpty(OpenApiSchema.Ollama.Problems(schema, document));

    private static bool Exists(string scenario, string file) => File.Exists(Path.Combine(Wire.Transcripts, scenario, file));

    private static string Text(string scenario, string file) => File.ReadAllText(Path.Combine(Wire.Transcripts, scenario, file));

    private static List<string> Data(string scenario, string file) => DataOf(Text(scenario, file));

    private static List<string> DataOf(string stream) =>
        [.. stream.Split('\n').Where(line => line.StartsWith("data: ", StringComparison.Ordinal)).Select(line => line["data: ".Length..])];
}
