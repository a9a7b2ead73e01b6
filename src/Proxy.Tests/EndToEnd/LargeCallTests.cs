using System.Globalization;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Calls and answers with very many pieces or very long texts: they are refused by their size before parsing, or served at a proportional cost.
/// </summary>
public sealed class LargeCallTests(LargeCallTests.Door door) : IClassFixture<LargeCallTests.Door>
{
    private const int Million = 1_000_000;
    private const string Message = """{"role":"user","content":"a"}""";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 2;

        protected override int OllamaLanes => 3;
    }

    [Fact]
    public async Task Million_messages_for_a_host_of_their_dialect_Are_passed_on_at_a_cost_in_proportion()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Whole("read")));
        await door.PostAsync("/v1/chat/completions", Body(lane.Solo, 1000));
        var body = Body(lane.Solo, Million);
        var memory = Peak.Of(door.Proxy.Id);

        var reply = await door.PostAsync("/v1/chat/completions", body);

        Assert.Equal(200, reply.Status);
        Assert.True(memory.Grown <= 6L * body.Length, $"{memory.Grown >> 20} MiB");
    }

    [Theory]
    [InlineData("/v1/chat/completions", "messages")]
    [InlineData("/v1/messages", "messages")]
    [InlineData("/v1/responses", "input")]
    public async Task Million_messages_that_would_have_to_be_translated_Are_refused_by_their_size(string path, string list)
    {
        var lane = door.TakeOllama();
        var body = Body(lane.Solo, Million, list);
        await door.PostAsync(path, Body(lane.Solo, 1000, list));
        var memory = Peak.Of(door.Proxy.Id);

        var reply = await door.PostAsync(path, body);

        Assert.Equal(413, reply.Status);
        Assert.Contains("300000 JSON values", reply.Text, StringComparison.Ordinal);
        Assert.True(memory.Grown <= 6L * body.Length, $"{memory.Grown >> 20} MiB");
    }

    [Fact]
    public async Task Answer_of_a_million_pieces_that_would_have_to_be_translated_Is_refused_by_its_size()
    {
        var lane = door.Take();
        var answer = "{\"choices\":[" + string.Join(',', Enumerable.Range(0, Million)
            .Select(i => string.Create(CultureInfo.InvariantCulture, $"{{\"index\":{i},\"message\":{{\"content\":\"a\"}}}}"))) + "]}";
        lane.A.Answer(exchange => exchange.JsonAsync(answer));
        var memory = Peak.Of(door.Proxy.Id);

        var reply = await door.PostAsync("/v1/messages", Anthropic.Request(lane.Solo));

        Assert.Equal(502, reply.Status);
        Assert.Contains("300000 JSON values", reply.Text, StringComparison.Ordinal);
        Assert.True(memory.Grown <= 6L * answer.Length, $"{memory.Grown >> 20} MiB");
    }

    [Fact]
    public async Task Text_far_longer_than_a_model_of_this_process_reads_Is_refused_untokenized_or_cut()
    {
        var text = string.Concat(Enumerable.Repeat("every word counts. ", Million / 2));

        var refused = await door.PostAsync("/v1/embeddings", $$"""{"model":"all-minilm-q4","input":["short","{{text}}"]}""");
        Assert.Equal((400, "context_length_exceeded"), (refused.Status, refused.ErrorCode));
        Assert.Contains($"{text.Length} characters", refused.ErrorMessage, StringComparison.Ordinal);

        var cut = await door.PostAsync("/api/embed", $$"""{"model":"all-minilm-q4","input":"{{text}}"}""");
        var enough = await door.PostAsync("/api/embed", $$"""{"model":"all-minilm-q4","input":"{{text[..20_000]}}"}""");
        Assert.Equal(200, cut.Status);
        Assert.Equal(enough.Json.GetProperty("embeddings").GetRawText(), cut.Json.GetProperty("embeddings").GetRawText());
    }

    private static string Body(string model, int messages, string list = "messages")
    {
        var body = new StringBuilder(messages * (Message.Length + 1) + 100);
        body.Append(CultureInfo.InvariantCulture, $$"""{"model":"{{model}}","max_tokens":5,"stream":false,"{{list}}":[{{Message}}""");
        for (var i = 1; i < messages; i++) body.Append(',').Append(Message);
        return body.Append("]}").ToString();
    }

    /// <summary>The most resident memory of a process since this was created: the kernel's high-water mark, which is reset.</summary>
    private sealed class Peak
    {
        private readonly string folder;
        private readonly long before;

        private Peak(string folder)
        {
            this.folder = folder;
            File.WriteAllText($"{folder}/clear_refs", "5");
            before = Read("VmRSS:");
        }

        public long Grown => Read("VmHWM:") - before;

        public static Peak Of(int process) => new($"/proc/{process.ToString(CultureInfo.InvariantCulture)}");

        private long Read(string name) =>
            1024 * long.Parse(File.ReadLines($"{folder}/status").First(line => line.StartsWith(name, StringComparison.Ordinal))
                .Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Split('\t')[^1], CultureInfo.InvariantCulture);
    }
}
