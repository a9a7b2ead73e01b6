using System.Text;
using Proxy.Tests.Harness;
using static Proxy.Tests.Harness.HostFaults;

namespace Proxy.Tests.EndToEnd;

/// <summary>An OpenAI host's stream that breaks after its first tokens, or only seems to: no other host can continue it.</summary>
public sealed class BrokenStreamTests(BrokenStreamTests.Door door) : IClassFixture<BrokenStreamTests.Door>
{
    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 8;
    }

    [Fact]
    public async Task Error_inside_a_200_stream_after_content_Client_gets_it_as_the_last_frame()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half"), OpenAi.ErrorFrame("out of memory")));

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
        Assert.Contains("out of memory", OpenAi.ReadError(reply).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_dies_midstream_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            // Lets the token arrive, because a reset discards data that the other side has not read yet.
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Fact]
    public async Task Host_dies_in_the_middle_of_a_frame_The_half_frame_is_not_glued_to_the_error()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half") + "data: {\"id\":\"chatcmpl-1\",\"cho");
            await Task.Delay(100);
            exchange.Reset();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        Assert.True(reply.Whole, reply.Text);
        Assert.Contains("half", reply.Text, StringComparison.Ordinal);
        Assert.Equal("backend_error", OpenAi.ReadError(reply).GetProperty("type").GetString());
        Assert.Equal("backend_error backend 200", line.Verdict);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stream_ends_in_silence_without_its_end_marker_Client_gets_an_error_frame(bool finWithoutLastChunk)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            if (finWithoutLastChunk)
                exchange.Close();
            else
                await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Fact]
    public async Task Garbled_chunk_midstream_Client_gets_an_error_frame()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.SendAsync("zz\r\nnonsense\r\n");
            await exchange.StallAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: true);

        AssertBrokenOff(reply, line, lane, "half", "backend_error backend 200");
    }

    [Fact]
    public async Task Host_splits_characters_between_writes_Client_gets_the_same_bytes()
    {
        var lane = door.Take();
        var stream = Encoding.UTF8.GetBytes(string.Concat(OpenAi.Stream("é", "😀", "你好")));
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(OpenAi.Sse);
            // Cuts before every continuation byte of UTF-8.
            var from = 0;
            for (var i = 1; i <= stream.Length; i++)
            {
                if (i < stream.Length && (stream[i] & 0xC0) != 0x80)
                    continue;
                await exchange.ChunkAsync(stream.AsMemory(from, i - from));
                await Task.Delay(2);
                from = i;
            }

            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("é😀你好", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }

    [Fact]
    public async Task Host_answers_until_it_closes_Client_gets_the_whole_stream()
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                + string.Concat(OpenAi.Stream("to ", "the end")));
            exchange.Close();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(reply.Whole);
        Assert.Equal("to the end", OpenAi.Read(reply));
        Assert.Equal("ok none 200", line.Verdict);
    }
}
