using System.IO.Compression;
using System.Text;
using Proxy.Tests.Harness;
using ZstdSharp;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Hosts whose headers do not match their bytes: a stream is recognized by its first bytes, and an answer that was compressed without being asked for is
/// decompressed.
/// </summary>
public sealed class StrangeAnswerTests(StrangeAnswerTests.Door door) : IClassFixture<StrangeAnswerTests.Door>
{
    private const string Mark = "\uFEFF";

    public sealed class Door : FrontDoor
    {
        protected override int Lanes => 44;

        protected override int OllamaLanes => 8;
    }

    [Theory]
    [InlineData("")]
    [InlineData("text/plain; charset=utf-8")]
    [InlineData("application/json")]
    [InlineData("application/x-ndjson")]
    [InlineData("application/octet-stream")]
    public async Task Frames_under_another_type_Are_a_stream(string type)
    {
        var lane = door.Take();
        lane.A.Answer(async exchange =>
        {
            await exchange.SendAsync($"HTTP/1.1 200 OK\r\n{(type.Length == 0 ? "" : $"Content-Type: {type}\r\n")}Transfer-Encoding: chunked\r\n\r\n");
            foreach (var frame in OpenAi.Stream("a ", "stream")) await exchange.ChunkAsync(frame);
            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.StartsWith("text/event-stream", reply.ContentType, StringComparison.Ordinal);
        Assert.Equal(string.Concat(OpenAi.Stream("a ", "stream"))
            .Replace("served", lane.Solo, StringComparison.Ordinal), reply.Text.Replace("served", lane.Solo, StringComparison.Ordinal));
        var (translated, _) = await door.CallAsync("/v1/messages", Anthropic.Request(lane.Solo, stream: true));
        Assert.Equal("a stream", Anthropic.Read(translated));
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("text/plain")]
    [InlineData("application/jsonl")]
    public async Task Json_lines_under_another_type_Are_a_stream(string type)
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(type, Ollama.Stream("a ", "stream")));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: true);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("a stream", Ollama.Read(reply));
        Assert.StartsWith("application/x-ndjson", reply.ContentType, StringComparison.Ordinal);
        Assert.Equal(3, reply.JsonLines.Count);
    }

    [Fact]
    public async Task Stream_is_passed_on_as_it_comes_whatever_its_type()
    {
        var lane = door.Take();
        var more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync("text/plain");
            await exchange.ChunkAsync("da");
            await exchange.ChunkAsync((OpenAi.Role() + OpenAi.Token("first"))[2..]);
            await more.Task;
            await exchange.ChunkAsync(OpenAi.Stop() + OpenAi.Done);
            await exchange.EndAsync();
        });

        using var client = new HttpClient { BaseAddress = door.Address };
        using var response = await StreamedChat.SendAsync(client, lane.Solo);
        using var body = new StreamReader(await response.Content.ReadAsStreamAsync());
        while (await body.ReadLineAsync() is { } line && !line.Contains("first", StringComparison.Ordinal)) continue;
        more.SetResult();
        Assert.EndsWith(OpenAi.Done, await body.ReadToEndAsync(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("text/event-stream")]
    [InlineData("text/plain")]
    public async Task Document_under_another_type_Is_a_document(string type)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.WholeAsync(200, type, OpenAi.Whole("a document")));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("a document", OpenAi.Read(reply));
        Assert.Equal("[DONE]", reply.Events[^1]);
    }

    [Theory]
    [InlineData("text/event-stream")]
    [InlineData("application/json")]
    public async Task Host_streams_what_was_not_to_be_a_stream_Client_gets_a_document(string type)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(type, OpenAi.Stream("not ", "asked for")));

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("not asked for", reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
    }

    [Fact]
    public async Task Host_streams_half_of_what_was_not_to_be_a_stream_Next_host_answers()
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, OpenAi.Role(), OpenAi.Token("half")));
        HostFaults.AnswersFromB(lane, stream: false);

        var (reply, line) = await lane.ChatAsync(lane.Pair, stream: false);

        HostFaults.AssertFromB(reply, line, lane, stream: false);
    }

    [Fact]
    public async Task Ollama_host_streams_what_was_not_to_be_a_stream_Client_gets_a_document()
    {
        var lane = door.TakeOllama();
        lane.A.Answer(exchange => exchange.StreamAsync(Ollama.Lines, Ollama.Stream("not ", "asked for")));

        var (reply, line) = await lane.OllamaChatAsync(lane.Solo, stream: false);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Equal("not asked for", reply.Json.GetProperty("message").GetProperty("content").GetString());
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Byte_order_mark_in_front_Is_skipped(bool stream, bool whole)
    {
        var lane = door.Take();
        var body = Encoding.UTF8.GetBytes(Mark + (stream ? string.Concat(OpenAi.Stream("marked")) : OpenAi.Whole("marked")));
        lane.A.Answer(async exchange =>
        {
            await exchange.HeadAsync(stream ? OpenAi.Sse : "application/json");
            if (whole) await exchange.ChunkAsync(body);
            else
                for (var at = 0; at < body.Length; at += at < 6 ? 1 : 100)
                    await exchange.ChunkAsync(body.AsMemory(at, Math.Min(at < 6 ? 1 : 100, body.Length - at)));
            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.DoesNotContain(Mark, reply.Text, StringComparison.Ordinal);
        Assert.Equal("marked", stream ? OpenAi.Read(reply) : reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
    }

    [Theory]
    [InlineData("gzip", true)]
    [InlineData("gzip", false)]
    [InlineData("x-gzip", true)]
    [InlineData("deflate", true)]
    [InlineData("deflate", false)]
    [InlineData("raw", true)]
    [InlineData("raw", false)]
    [InlineData("br", true)]
    [InlineData("br", false)]
    [InlineData("zstd", true)]
    [InlineData("zstd", false)]
    public async Task Compressed_although_not_asked_Is_decompressed(string coding, bool stream)
    {
        var lane = door.Take();
        var name = coding is "raw" ? "deflate" : coding;
        lane.A.Answer(async exchange =>
        {
            if (!stream)
            {
                await exchange.WholeAsync(200, "application/json", Compressed(coding, [OpenAi.Whole("packed")])[0], $"Content-Encoding: {name}");
                return;
            }

            await exchange.HeadAsync(OpenAi.Sse, 200, $"Content-Encoding: {name}");
            foreach (var piece in Compressed(coding, OpenAi.Stream("pac", "ked"))) await exchange.ChunkAsync(piece);
            await exchange.EndAsync();
        });

        var (reply, line) = await lane.ChatAsync(lane.Solo, stream);

        Assert.Equal("ok none 200", line.Verdict);
        Assert.Null(reply.Header("content-encoding"));
        Assert.Equal("packed", stream ? OpenAi.Read(reply) : reply.Json.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString());
    }

    [Fact]
    public async Task Compressed_refusal_Is_readable()
    {
        var lane = door.Take();
        lane.A.Answer(
            exchange => exchange.WholeAsync(400, "application/json", Compressed("gzip", [OpenAi.Error("too many tokens")])[0], "Content-Encoding: gzip"));

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: true);

        Assert.Equal((400, "too many tokens"), (reply.Status, reply.ErrorMessage));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("compress")]
    public async Task Coding_that_cannot_be_undone_Client_is_told_which(string coding)
    {
        var lane = door.Take();
        lane.A.Answer(exchange => exchange.WholeAsync(200, "application/json", OpenAi.Whole("plain after all"), $"Content-Encoding: {coding}"));

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(502, reply.Status);
        Assert.Contains(coding, reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Compressed_without_an_end_Is_cut_off_at_the_limit()
    {
        var lane = door.Take();
        var piece = Compressed("gzip", [new string(' ', 160 << 20)])[0]; // 160 KiB that decompress to 160 MiB
        lane.A.Answer(exchange => exchange.WholeAsync(200, "application/json", piece, "Content-Encoding: gzip"));

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream: false);

        Assert.Equal(502, reply.Status);
        Assert.Contains("longer than 128 MiB", reply.ErrorMessage, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(500, false)]
    [InlineData(500, true)]
    [InlineData(200, false)]
    [InlineData(200, true)]
    public async Task Binary_where_an_error_should_stand_Is_not_quoted(int status, bool stream)
    {
        var lane = door.Take();
        byte[] binary = [0x7f, (byte)'E', (byte)'L', (byte)'F', 0, 1, 2, 3, 0xff, 0xfe, .. "secret stuff"u8];
        lane.A.Answer(exchange => exchange.WholeAsync(status, "application/octet-stream", binary));

        var (reply, _) = await lane.ChatAsync(lane.Solo, stream);

        Assert.Equal(502, reply.Status);
        Assert.DoesNotContain("ELF", reply.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("\uFFFD", reply.Text, StringComparison.Ordinal);
        Assert.Contains("not text", reply.ErrorMessage, StringComparison.Ordinal);
    }

    private static List<byte[]> Compressed(string coding, string[] pieces)
    {
        var output = new MemoryStream();
        var made = new List<byte[]>();
        using (Stream packer = coding switch
        {
            "gzip" or "x-gzip" => new GZipStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "deflate" => new ZLibStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "raw" => new DeflateStream(output, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(output, CompressionLevel.Fastest, leaveOpen: true),
            _ => new CompressionStream(output, leaveOpen: true),
        })
        {
            foreach (var piece in pieces)
            {
                packer.Write(Encoding.UTF8.GetBytes(piece));
                if (pieces.Length == 1) continue;
                packer.Flush();
                made.Add(output.ToArray());
                output.SetLength(0);
            }
        }

        made.Add(output.ToArray());
        return made;
    }
}
