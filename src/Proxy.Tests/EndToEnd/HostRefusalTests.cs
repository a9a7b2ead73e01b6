using Proxy.Tests.Harness;
using static Proxy.Tests.Harness.HostFaults;

namespace Proxy.Tests.EndToEnd;

/// <summary>Calls that an OpenAI host refuses, and who is at fault.</summary>
public sealed class HostRefusalTests(HostRefusalTests.Door door) : IClassFixture<HostRefusalTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 14;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Host_says_500_Next_host_answers(bool stream)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));
        AnswersFromB(lane, stream);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream);

        AssertFromB(reply, line, lane, stream);
    }

    [Fact]
    public async Task Every_host_says_500_Client_reads_the_hosts_message()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));
        lane.B.Answer(exchange => exchange.JsonAsync(OpenAi.Error("the engine broke"), 500));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        Assert.True(reply.Status is 500 or 502, reply.Text);
        Assert.Contains("the engine broke", reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("backend_error backend", $"{line.Outcome} {line.Fault}");
        Assert.Single(lane.A.Calls);
        Assert.Single(lane.B.Calls);
    }

    [Fact]
    public async Task Host_says_500_to_a_clients_mistake_Host_stays_in_use()
    {
        // llama.cpp answers 500 to a request without messages, which does not mean that the host is broken.
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.Request.Text.Contains("\"bad\"", StringComparison.Ordinal)
            ? exchange.JsonAsync(OpenAi.Error("'messages' is required"), 500)
            : exchange.JsonAsync(OpenAi.Whole("fine")));
        for (var i = 0; i < 8; i++)
            await door.ChatAsync(lane.Solo, stream: false, more: ",\"bad\":true");

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(200, reply.Status);
    }

    [Theory]
    [InlineData(400, "context_length_exceeded", "this model's limit is 4096 tokens")]
    [InlineData(404, "adapter_not_found", "no such adapter")]
    [InlineData(422, "unprocessable", "temperature must be below 2")]
    public async Task Host_refuses_the_request_Client_reads_its_status_code_and_message(int status, string code, string message)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error(message, "invalid_request_error", $"\"{code}\""), status));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.Equal(status, reply.Status);
        Assert.Equal(message, reply.ErrorMessage);
        Assert.Equal(code, reply.ErrorCode);
        Assert.Equal("client", line.Fault);
        Assert.Empty(lane.B.Calls);
    }

    [Fact]
    public async Task Host_does_not_have_the_model_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("no such adapter", "invalid_request_error", "\"model_not_found\""), 404));
        AnswersFromB(lane, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        AssertFromB(reply, line, lane, stream: false);
    }

    [Theory]
    [InlineData(401)]
    [InlineData(403)]
    public async Task Host_rejects_our_credentials_Client_gets_502_and_the_log_blames_us(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("wrong key sk-secret"), status));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(502, reply.Status);
        Assert.Equal("backend_error", reply.ErrorType);
        Assert.Equal("proxy", line.Fault);
    }

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Host_is_overloaded_Next_host_answers(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));
        AnswersFromB(lane, stream: true);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertFromB(reply, line, lane, stream: true);
    }

    [Theory]
    [InlineData(429)]
    [InlineData(503)]
    public async Task Every_host_is_overloaded_Client_reads_the_status_and_when_to_come_again(int status)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));
        lane.B.Answer(exchange => exchange.JsonAsync(OpenAi.Error("slow down"), status, "Retry-After: 7"));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        Assert.Equal(status, reply.Status);
        Assert.Equal("7", reply.Header("retry-after"));
        Assert.Contains("slow down", reply.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal("backend", line.Fault);
    }
}
