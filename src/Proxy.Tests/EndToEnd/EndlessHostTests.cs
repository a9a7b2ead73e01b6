using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>A host whose frame or answer never ends: it is cut off at a limit, long before the machine's memory is full.</summary>
public sealed class EndlessHostTests(EndlessHostTests.Door door) : IClassFixture<EndlessHostTests.Door>
{
    private const long MiB = 1024 * 1024;

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 5;

        protected override int OllamaLanes => 1;
    }

    [Theory]
    [Trait("Category", "Slow")]
    [InlineData("frame")]
    [InlineData("frame after a token")]
    [InlineData("answer")]
    [InlineData("Ollama line")]
    public async Task Host_never_ends_what_it_says_It_is_cut_off(string what)
    {
        var ollama = what == "Ollama line";
        var lane = ollama ? door.TakeOllama() : door.Take();
        var sent = 0L;
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(ollama ? Ollama.Lines : what == "answer" ? "application/json" : OpenAi.Sse);
            if (what == "frame after a token")
                await exchange.ChunkAsync(OpenAi.Role() + OpenAi.Token("half"));
            await exchange.ChunkAsync(ollama || what == "answer" ? "{\"x\":\"" : "data: {\"x\":\"");
            var filler = new byte[MiB];
            Array.Fill(filler, (byte)'f');
            // Far more than any real answer; a proxy that buffered all of it would not survive a few such hosts.
            for (sent = 0; sent < 600 * MiB && !exchange.Gone.IsCompleted; sent += filler.Length)
                await exchange.ChunkAsync(filler);
        });

        var (reply, line) = ollama ? await lane.OllamaChatAsync(lane.Solo, stream: true) : await lane.ChatAsync(lane.Solo, stream: what != "answer");

        Assert.InRange(sent, MiB, 300 * MiB);
        Assert.Equal("backend_error backend", $"{line.Outcome} {line.Fault}");
        if (what == "frame after a token")
            Assert.NotEmpty(OpenAi.ReadError(reply).GetProperty("message").GetString()!);
        else
            Assert.Equal(502, reply.Status);
    }

    [Fact]
    public async Task One_frame_is_very_large_It_is_relayed_whole_and_in_time()
    {
        // A base64 picture in one frame, received in reads of a few kilobytes each.
        var lane = door.Take();
        var picture = new string('f', 8 * (int)MiB);
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Stream("before ", picture, " after")));
        var since = TimeProvider.System.GetTimestamp();

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.True(OpenAi.Read(reply) == "before " + picture + " after", "the picture differs");
        Assert.Equal("ok none 200", line.Verdict);
        Assert.InRange(TimeProvider.System.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(15));
    }
}
