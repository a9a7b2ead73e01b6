using System.Text;
using Proxy.Chat;
using Proxy.Relay;

namespace Proxy.Tests.Relay;

public sealed class StreamWatchTests
{
    private static string See(StreamWatch watch, string bytes)
    {
        ReadOnlySpan<byte> pending = Encoding.UTF8.GetBytes(bytes);
        while (watch.TrySee(ref pending, out _, out _)) continue;
        return Encoding.UTF8.GetString(pending);
    }

    [Fact]
    public void Frames_pass_Usage_and_end_are_seen_and_words_in_the_text_are_not()
    {
        using var watch = new StreamWatch(Replies.OpenAi);

        Assert.Equal("data: x", See(watch, """data: {"choices":[{"delta":{"content":"\"error\" [DONE] \"usage\":{}"}}],"usage":null}""" + "\n\ndata: x"));
        Assert.Equal((null, false, null), (watch.Usage, watch.Ended, watch.Error));
        Assert.Equal("", See(watch, """data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}""" + "\n\ndata: [DONE]\n\n"));

        Assert.Equal((new Usage(1, 2), true, null), (watch.Usage, watch.Ended, watch.Error));
    }

    [Fact]
    public void Error_frame_Is_seen_also_as_the_unterminated_last()
    {
        using var watch = new StreamWatch(Replies.Ollama);
        var rest = See(watch, """{"message":{"content":"x"},"done":false}""" + "\n" + """{"error":"ran out"}""");
        Assert.Null(watch.Error);

        watch.SeeRest(Encoding.UTF8.GetBytes(rest));

        Assert.Equal("ran out", watch.Error!.Message);
    }

    [Fact]
    public void Usage_in_several_frames_The_last_one_holds()
    {
        using var watch = new StreamWatch(Replies.OpenAi);
        foreach (var count in (ReadOnlySpan<int>)[1, 2, 3])
            See(watch, $"data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{count}}}}}\n\n");
        See(watch, "data: {\"choices\":[]}\n\n");

        Assert.Equal(3, watch.Usage!.OutputTokens);
    }
}
