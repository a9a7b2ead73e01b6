using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>Failures of an Ollama host, and between two dialects. The bytes are those of a real Ollama whose engine died.</summary>
public sealed class OllamaFaultTests(OllamaFaultTests.Door door) : IClassFixture<OllamaFaultTests.Door>
{
    /// <summary>A real Ollama's answer to a call that is not streamed when its engine dies: 200, half the text, not done.</summary>
    private const string HalfAnAnswer =
        """{"model":"tiny","created_at":"2026-11-23T06:33:26.86473356Z","message":{"role":"assistant","content":"half "},"done":false}""";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 10;

        protected override int OllamaLanes => 40;
    }

    [Fact]
    public async Task Ollama_stream_ends_in_silence_Client_gets_an_error_line()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half")));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        AssertErrorLine(reply, line, lane);
    }

    [Fact]
    public async Task Ollama_host_dies_midstream_Client_gets_an_error_line()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(Ollama.Lines);
            await exchange.ChunkAsync(Ollama.Token("half") + "{\"model\":\"tiny\",\"crea");
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        Assert.True(reply.Whole);
        Assert.NotEmpty(Ollama.ReadError(reply with { Body = System.Text.Encoding.UTF8.GetBytes(reply.Text.TrimEnd().Split('\n')[^1]) }));
        Assert.Equal("backend_error backend 200", line.Verdict);
        Assert.Empty(lane.B.Calls);
    }

    [Fact]
    public async Task Ollama_error_line_after_content_Client_gets_it_as_the_last_line()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half"), "{\"error\":\"out of memory\"}\n"));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        AssertErrorLine(reply, line, lane);
        Assert.Contains("out of memory", Ollama.ReadError(reply), StringComparison.Ordinal);
        Assert.Single(reply.JsonLines, entry => entry.TryGetProperty("error", out _));
    }

    [Fact]
    public async Task Ollama_error_line_before_content_Next_host_answers()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, "{\"error\":\"out of memory\"}\n"));
        lane.B.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("from ", "B")));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        Assert.Equal("from B", Ollama.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
    }

    [Fact]
    public async Task Ollama_whole_answer_is_not_done_Next_host_answers()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(HalfAnAnswer));
        lane.B.Answer(exchange => exchange.JsonAsync(Ollama.Last(text: "from B").TrimEnd()));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: false);

        Assert.Equal("from B", reply.Json.GetProperty("message").GetProperty("content").GetString());
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
    }

    [Fact]
    public async Task Only_Ollama_whole_answer_is_not_done_Client_gets_502()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(HalfAnAnswer));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: false);

        Assert.True(reply.Status == 502, $"{reply.Status} {reply.Text}");
        Assert.NotEmpty(reply.Json.GetProperty("error").GetString()!);
        Assert.Equal("backend_error backend 502", line.Verdict);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Only_Ollama_host_refuses_Client_gets_502_in_Ollamas_form(bool stream)
    {
        var lane = door.TakeOllama();
        lane.A.Refuse();

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream);

        Assert.Equal(502, reply.Status);
        Assert.NotEmpty(reply.Json.GetProperty("error").GetString()!);
        Assert.Equal("backend_error backend 502", line.Verdict);
    }

    [Theory]
    [InlineData(400, "invalid options: num_ctx")]
    [InlineData(404, "model 'x' not found")]
    public async Task Ollama_host_refuses_the_request_Client_reads_its_status_and_message(int status, string message)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync($$"""{"error":"{{message}}"}""", status));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal(status, reply.Status);
        Assert.Equal(message, reply.Json.GetProperty("error").GetString());
        Assert.Equal("client", line.Fault);
    }

    [Fact]
    public async Task Ollama_host_refuses_an_OpenAI_clients_request_Client_reads_it_in_OpenAIs_form()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync("""{"error":"\"tiny\" does not support tools"}""", 400));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal(400, reply.Status);
        Assert.Equal("\"tiny\" does not support tools", reply.ErrorMessage);
        Assert.Equal("client", line.Fault);
    }

    [Fact]
    public async Task OpenAI_host_refuses_an_Ollama_clients_request_Client_reads_it_in_Ollamas_form()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("too long", "invalid_request_error", "\"context_length_exceeded\""), 400));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal(400, reply.Status);
        Assert.Equal("too long", reply.Json.GetProperty("error").GetString());
        Assert.Equal("client", line.Fault);
    }

    [Fact]
    public async Task Ollama_stream_ends_in_silence_OpenAI_client_gets_an_error_frame()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertErrorFrame(reply, line, lane);
    }

    [Fact]
    public async Task Ollama_error_line_after_content_OpenAI_client_gets_the_message_in_a_frame()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half"), "{\"error\":\"out of memory\"}\n"));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertErrorFrame(reply, line, lane);
        Assert.Contains("out of memory", OpenAi.ReadError(reply).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("this is no json\n")]
    [InlineData("{\"model\":\"tiny\",\"message\":{\"role\":\"assist\n")]
    [InlineData("[1,2]\n")]
    public async Task Ollama_line_is_garbage_OpenAI_client_gets_an_error_frame(string garbage)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Token("half"), garbage, Ollama.Last()));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertErrorFrame(reply, line, lane);
    }

    [Fact]
    public async Task Ollama_whole_answer_is_not_done_OpenAI_client_gets_502()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.JsonAsync(HalfAnAnswer));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.True(reply.Status == 502, $"{reply.Status} {reply.Text}");
        Assert.Equal("backend_error", reply.ErrorType);
        Assert.Equal("backend_error backend 502", line.Verdict);
    }

    [Fact]
    public async Task OpenAI_stream_ends_in_silence_Ollama_client_gets_an_error_line()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half")));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        AssertErrorLine(reply, line, lane);
    }

    [Fact]
    public async Task OpenAI_host_dies_midstream_Ollama_client_gets_an_error_line()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        AssertErrorLine(reply, line, lane);
    }

    [Fact]
    public async Task OpenAI_frame_is_garbage_Ollama_client_gets_an_error_line()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), "data: {nonsense\n\n", OpenAi.Stop(), OpenAi.Done));

        var (reply, line) = await lane.OllamaChatAsync(lane.Pair, stream: true);

        AssertErrorLine(reply, line, lane);
    }

    [Fact]
    public async Task Ollama_host_fails_before_content_OpenAI_client_is_answered_by_the_next_host()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, "{\"error\":\"out of memory\"}\n"));
        lane.B.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("from ", "B")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.Equal("from B", OpenAi.Read(reply));
        Assert.Equal("[DONE]", reply.Events[^1]);
        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
    }

    [Fact]
    public async Task Ollama_host_splits_characters_OpenAI_client_reads_them_whole()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(Ollama.Lines);
            foreach (var part in System.Text.Encoding.UTF8.GetBytes(string.Concat(Ollama.Stream("é", "😀", "你好"))).Chunk(7))
            {
                await exchange.ChunkAsync(part);
                await Task.Delay(1);
            }

            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal("é😀你好", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    private static void AssertErrorLine(RawReply reply, CallLine line, Lane lane)
    {
        Assert.Equal(200, reply.Status);
        Assert.True(reply.Whole, reply.Text);
        Assert.Equal("half", Ollama.Read(reply));
        Assert.NotEmpty(Ollama.ReadError(reply));
        Assert.Equal("backend_error backend 200", line.Verdict);
        Assert.Empty(lane.B.Calls);
    }

    private static void AssertErrorFrame(RawReply reply, CallLine line, Lane lane)
    {
        Assert.Equal(200, reply.Status);
        Assert.True(reply.Whole, reply.Text);
        Assert.Equal("half", OpenAi.Read(reply));
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal("backend_error backend 200", line.Verdict);
        Assert.Empty(lane.B.Calls);
    }
}
