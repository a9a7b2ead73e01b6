namespace Proxy.Tests.Harness;

/// <summary>Ways in which an OpenAI host fails, and the expected results.</summary>
internal static class HostFaults
{
    public static readonly string[] Good = OpenAi.Stream("from ", "B");

    public static Task Reset(FakeExchange exchange)
    {
        exchange.Reset();
        return Task.CompletedTask;
    }

    public static async Task HalfABody(FakeExchange exchange)
    {
        var body = OpenAi.Whole("never arrives in full");
        await exchange.SendAsync($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body[..(body.Length / 2)]}");
        exchange.Close();
    }

    public static void AnswersFromB(Lane lane, bool stream) =>
        lane.B.Answer(exchange => stream ? exchange.StreamAsync(OpenAi.Sse, Good) : exchange.JsonAsync(OpenAi.Whole("from B")));

    public static void AssertFromB(RawReply reply, CallLine line, Lane lane, bool stream)
    {
        Assert.True(reply.Status == 200 && reply.Whole, $"{reply.Status} {reply.Text}");
        if (stream)
        {
            Assert.Equal("from B", OpenAi.Read(reply));
            Assert.Equal("[DONE]", reply.Events[^1]);
            Assert.DoesNotContain("error", reply.Text, StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal("from B", reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
        }

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal(lane.NameB, line.Backend);
        Assert.Single(lane.B.Calls);
    }

    public static void AssertRefused(RawReply reply, CallLine line, int status, string type, string verdict)
    {
        Assert.True(reply.Whole);
        Assert.True(status == reply.Status, $"{reply.Status} {reply.Text}");
        Assert.Equal(type, reply.ErrorType);
        Assert.Equal(status, reply.Json.GetProperty("error").GetProperty("status").GetInt32());
        Assert.Equal(verdict, line.Verdict);
    }

    /// <summary>The client got the text so far, then one error frame, then the end of the stream; no second host was asked.</summary>
    public static void AssertBrokenOff(RawReply reply, CallLine line, Lane lane, string text, string verdict)
    {
        Assert.Equal(200, reply.Status);
        Assert.True(reply.Whole, reply.Text);
        Assert.Single(reply.Events, data => data.Contains("\"error\"", StringComparison.Ordinal));
        Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        Assert.Equal(text, OpenAi.Read(reply));
        Assert.Equal(verdict, line.Verdict);
        Assert.Empty(lane.B.Calls);
    }
}
