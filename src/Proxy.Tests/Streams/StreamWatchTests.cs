using System.Text;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Tests.Streams;

public sealed class StreamWatchTests
{
    private static string See(ref StreamWatch watch, FrameCutter cutter, string bytes)
    {
        ReadOnlySpan<byte> pending = Encoding.UTF8.GetBytes(bytes);
        while (cutter.TryTake(ref pending, out _, out var payload)) watch.Look(payload, cutter);
        return Encoding.UTF8.GetString(pending);
    }

    [Fact]
    public void Frames_pass_Usage_and_end_are_seen_and_words_in_the_text_are_not()
    {
        var watch = new StreamWatch(Replies.OpenAi);
        using var cutter = FrameCutter.For(Replies.OpenAi.Framing);

        Assert.Equal("data: x",
            See(ref watch, cutter, """data: {"choices":[{"delta":{"content":"\"error\" [DONE] \"usage\":{}"}}],"usage":null}""" + "\n\ndata: x"));
        Assert.Equal((null, false, null), (watch.Usage, watch.Ended, watch.Error));
        Assert.Equal("", See(ref watch, cutter, """data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}""" + "\n\ndata: [DONE]\n\n"));

        Assert.Equal((new Usage(1, 2), true, null), (watch.Usage, watch.Ended, watch.Error));
    }

    [Fact]
    public void Error_frame_Is_seen_also_as_the_unterminated_last()
    {
        var watch = new StreamWatch(Replies.Ollama);
        using var cutter = FrameCutter.For(Replies.Ollama.Framing);
        var rest = See(ref watch, cutter, """{"message":{"content":"x"},"done":false}""" + "\n" + """{"error":"ran out"}""");
        Assert.Null(watch.Error);

        watch.Look(cutter.PayloadOfRest(Encoding.UTF8.GetBytes(rest)), cutter);

        Assert.Equal("ran out", watch.Error!.Message);
    }

    [Fact]
    public void Usage_in_several_frames_The_last_one_holds()
    {
        var watch = new StreamWatch(Replies.OpenAi);
        using var cutter = FrameCutter.For(Replies.OpenAi.Framing);
        foreach (var count in (ReadOnlySpan<int>)[1, 2, 3])
            See(ref watch, cutter, $"data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{count}}}}}\n\n");
        See(ref watch, cutter, "data: {\"choices\":[]}\n\n");

        Assert.Equal(3, watch.Usage!.OutputTokens);
    }
}
