using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>The length of model names is limited on every surface that takes one, and names that are not served leave nothing in memory.</summary>
public sealed class ModelNameTests(ModelNameTests.Door door) : IClassFixture<ModelNameTests.Door>
{
    public sealed class Door : FrontDoor
    {
        internal FakeBackend Any { get; private set; } = null!;

        protected override string Sections()
        {
            Any = Host();
            return $"""
                [[backends]]
                name = "any"
                url = "{Any.Url}"
                dialects = ["openai"]
                prefixes = ["any-"]
                """;
        }
    }

    private static readonly string TooLong = new('n', 513);

    public static TheoryData<string, string> Surfaces => new()
    {
        { "/v1/chat/completions", """{"model":"NAME","messages":[]}""" },
        { "/v1/completions", """{"model":"NAME","prompt":"x"}""" },
        { "/v1/responses", """{"model":"NAME","input":"x"}""" },
        { "/v1/responses/input_tokens", """{"model":"NAME","input":"x"}""" },
        { "/v1/embeddings", """{"model":"NAME","input":"x"}""" },
        { "/v1/rerank", """{"model":"NAME","query":"x","documents":["y"]}""" },
        { "/v1/score", """{"model":"NAME","text_1":"x","text_2":"y"}""" },
        { "/v1/audio/speech", """{"model":"NAME","input":"x","voice":"y"}""" },
        { "/api/chat", """{"model":"NAME","messages":[]}""" },
        { "/api/generate", """{"model":"NAME","prompt":"x"}""" },
        { "/api/embed", """{"model":"NAME","input":"x"}""" },
        { "/api/embeddings", """{"model":"NAME","prompt":"x"}""" },
        { "/api/show", """{"model":"NAME"}""" },
        { "/api/show", """{"name":"NAME"}""" },
        { "/api/pull", """{"model":"NAME"}""" },
        { "/api/copy", """{"source":"NAME","destination":"y"}""" },
        { "/v1/messages", """{"model":"NAME","max_tokens":1,"messages":[]}""" },
        { "/v1/messages/count_tokens", """{"model":"NAME","messages":[]}""" },
        { "/embed", """{"model":"NAME","inputs":"x"}""" },
        { "/rerank", """{"model":"NAME","query":"x","texts":["y"]}""" },
        { "/tokenize", """{"model":"NAME","inputs":"x"}""" },
    };

    [Theory]
    [MemberData(nameof(Surfaces))]
    public async Task Name_is_longer_than_512_bytes_Client_gets_400_in_its_dialect(string path, string body)
    {
        var (reply, line) = await door.CallAsync(path, body.Replace("NAME", TooLong, StringComparison.Ordinal));

        Assert.True(reply.Status == 400, $"{reply.Status} {reply.Text}");
        Assert.Contains("512", Message(path, reply), StringComparison.Ordinal);
        Assert.DoesNotContain("nnnn", reply.Text, StringComparison.Ordinal);
        Assert.Equal("refused client 400", line.Verdict);
        Assert.DoesNotContain("nnnn", line.Line.GetRawText(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v1/models/")]
    [InlineData("/info?model=")]
    public async Task Name_in_a_path_or_query_is_too_long_Client_gets_400(string path)
    {
        var reply = await door.GetAsync(path + TooLong);

        Assert.True(reply.Status == 400, $"{reply.Status} {reply.Text}");
        Assert.Contains("512", reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Model_that_nothing_serves_is_asked_about_Client_gets_404()
    {
        var reply = await door.GetAsync("/v1/models/never-heard-of");

        Assert.Equal("404 model_not_found", $"{reply.Status} {reply.ErrorCode}");
    }

    [Fact]
    public async Task Name_in_a_form_is_too_long_Client_gets_400()
    {
        var form = $"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{TooLong}\r\n--b--\r\n";

        var reply = await door.PostAsync("/v1/audio/transcriptions", form, "content-type: multipart/form-data; boundary=b");

        Assert.True(reply.Status == 400, $"{reply.Status} {reply.Text}");
        Assert.Contains("512", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("é", 256, 404)] // 512 bytes
    [InlineData("é", 257, 400)]
    [InlineData("\\u006e", 512, 404)]
    [InlineData("\\u006e", 513, 400)]
    public async Task Length_counts_in_bytes_of_the_name_itself(string piece, int times, int status)
    {
        var reply = await door.PostAsync("/v1/chat/completions", $$"""{"model":"{{string.Concat(Enumerable.Repeat(piece, times))}}","messages":[]}""");

        Assert.True(reply.Status == status, $"{reply.Status} {reply.Text}");
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"NAME","messages":[]}""")]
    [InlineData("/api/chat", """{"model":"NAME","messages":[]}""")]
    [InlineData("/api/show", """{"model":"NAME"}""")]
    [InlineData("/v1/messages", """{"model":"NAME","max_tokens":1,"messages":[]}""")]
    public async Task Name_is_unknown_Message_and_log_have_its_beginning_only(string path, string body)
    {
        var name = new string('n', 100) + new string('z', 400);

        var (reply, line) = await door.CallAsync(path, body.Replace("NAME", name, StringComparison.Ordinal));

        Assert.Equal(404, reply.Status);
        foreach (var text in (string[])[reply.Text, line.Line.GetRawText()])
        {
            Assert.Contains("nnnz", text, StringComparison.Ordinal);
            Assert.DoesNotContain(new string('z', 30), text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Huge_names_in_hundreds_of_calls_leave_no_memory_behind()
    {
        var name = new string('n', 1 << 20);
        await SendAsync(40); // memory that grows once
        var before = door.Proxy.ResidentBytes;

        await SendAsync(200);

        Assert.InRange(door.Proxy.ResidentBytes - before, long.MinValue, 64 << 20);

        async Task SendAsync(int calls)
        {
            for (var call = 0; call < calls; call++)
            {
                var model = $"{call}{name}";
                var (path, body) = (call % 4) switch
                {
                    0 => ("/v1/chat/completions", $$"""{"model":"{{model}}","messages":[]}"""),
                    1 => ("/v1/embeddings", $$"""{"model":"any-{{model}}","input":"x"}"""),
                    2 => ("/api/show", $$"""{"model":"any-{{model}}"}"""),
                    _ => ("/v1/messages", $$"""{"model":"any-{{model}}","max_tokens":1,"messages":[]}"""),
                };
                Assert.Equal(400, (await door.PostAsync(path, body)).Status);
            }
        }
    }

    private static string Message(string path, RawReply reply)
    {
        if (path.StartsWith("/api/", StringComparison.Ordinal) || path is "/embed" or "/rerank" or "/tokenize")
        {
            return reply.Json.GetProperty("error").GetString()!;
        }

        return path == "/v1/rerank" ? reply.Json.GetProperty("message").GetString()! : reply.ErrorMessage;
    }
}
