using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Nats;

/// <summary>What JetStream keeps, on each version of the server, and conversations that are too large for a message.</summary>
public sealed class KeptStreamsTests
{
    private const long Second = 1_000_000_000;

    [Theory]
    [InlineData(ServerTree.Oldest)]
    [InlineData(ServerTree.Usual)]
    [InlineData(ServerTree.Newest)]
    public async Task Server_has_jetstream_The_streams_are_created_once_and_keep_calls(string release)
    {
        await using var server = await NatsServer.StartAsync(release);
        RawReply reply;
        await using (var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server)))
        {
            await CreatedAsync(proxy, "PROXY_DONE");
            reply = await NatsOutageTests.CallAsync(proxy);
            await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_DONE") == 1, "the first call is kept");
        }

        await using (var again = await ProxyProcess.StartAsync(NatsOutageTests.Config(server)))
        {
            await again.Log.EventAsync("nats_up");
            await NatsOutageTests.CallAsync(again);
            await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_DONE") == 2, "both calls are kept");
            Assert.DoesNotContain(
                again.Log.Lines, static line => ProxyLog.Text(line, "event") is "nats_stream_created" or "nats_stream_differs" or "nats_not_kept");
        }

        var events = (await NatsOutageTests.AskAsync(server, "STREAM.INFO.PROXY_EVENTS")).GetProperty("config");
        var done = (await NatsOutageTests.AskAsync(server, "STREAM.INFO.PROXY_DONE")).GetProperty("config");
        Assert.Equal(("""["evt.chat.*"]""", 3600 * Second, 1L << 30, "old", "file"), Limits(events));
        Assert.Equal(("""["done.chat.*"]""", 7 * 24 * 3600 * Second, 1L << 30, "old", "file"), Limits(done));
        var kept = await NatsOutageTests.AskAsync(server, "STREAM.MSG.GET.PROXY_DONE", $$"""{"last_by_subj":"done.chat.{{reply.TraceId}}"}""");
        Assert.Equal(reply.TraceId, JsonElement.Parse(Convert.FromBase64String(kept.GetProperty("message").GetProperty("data").GetString()!))
            .GetProperty("trace_id").GetString());
    }

    [Fact]
    public async Task Stream_is_there_with_other_limits_It_is_left_alone_and_said()
    {
        await using var server = await NatsServer.StartAsync();
        await NatsOutageTests.AskAsync(server, "STREAM.CREATE.PROXY_DONE", $$"""
            {"name":"PROXY_DONE","subjects":["done.>"],"storage":"memory","retention":"limits","discard":"old","max_age":{{60 * Second}},
            "max_bytes":1000000,"num_replicas":1}
            """);
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server));

        var line = (await proxy.Log.EventAsync("nats_stream_differs")).GetRawText();

        Assert.Contains("it keeps messages for 00:01:00, not 7.00:00:00", line, StringComparison.Ordinal);
        Assert.Contains("it keeps 1000000 bytes, not 1073741824", line, StringComparison.Ordinal);
        Assert.Equal("memory", (await NatsOutageTests.AskAsync(server, "STREAM.INFO.PROXY_DONE")).GetProperty("config").GetProperty("storage").GetString());
        await NatsOutageTests.CallAsync(proxy);
        await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_DONE") == 1, "the call is kept there");
    }

    [Fact]
    public async Task Prefix_Begins_every_subject_and_names_the_streams()
    {
        await using var server = await NatsServer.StartAsync();
        await using var ear = await NatsEar.StartAsync(server, "team.one.");
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, "prefix = \"team.one\""));
        await CreatedAsync(proxy, "PROXY_DONE_team_one");

        var reply = await NatsOutageTests.CallAsync(proxy);

        Assert.Equal("hello", PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)).Trim());
        await Patience.Until(async () => await NatsOutageTests.CountAsync(server, "PROXY_DONE_team_one") == 1, "the call is kept");
    }

    [Fact]
    public async Task Server_without_jetstream_Subscribers_get_everything_and_the_log_says_what_is_not_kept()
    {
        await using var server = await NatsServer.StartAsync(jetStream: false);
        await using var ear = await NatsEar.StartAsync(server);
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server));
        await proxy.Log.EventAsync("nats_not_kept");

        var reply = await NatsOutageTests.CallAsync(proxy);

        Assert.Equal("hello", PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)).Trim());
    }

    [Fact]
    public async Task Batch_is_zero_Each_event_is_a_message()
    {
        await using var server = await NatsServer.StartAsync();
        await using var ear = await NatsEar.StartAsync(server);
        await using var host = FakeBackend.Start();
        host.Answer(exchange => exchange.StreamAsync(OpenAi.Sse, string.Concat(OpenAi.Stream("one ", "two ", "three"))));
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, batch: "0s", host: host));
        await proxy.Log.EventAsync("nats_up");

        var reply = await NatsOutageTests.CallAsync(proxy, "m");

        var messages = await ear.MessagesAsync(reply.TraceId);
        Assert.All(messages, static message => Assert.Single(message.Lines));
        Assert.Equal(Enumerable.Range(1, messages.Count), messages.Select(static message => message.Json.GetProperty("seq").GetInt32()));
        Assert.Equal("one two three", PublishedCallTests.TextOf([.. messages.Select(static message => message.Json)]));
    }

    [Theory]
    [InlineData("/v1/chat/completions", """{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"what waits?"}]}""")]
    [InlineData("/v1/messages", """{"model":"m","max_tokens":9,"system":"be brief","messages":[{"role":"user","content":"what waits?"}]}""")]
    [InlineData("/v1/responses", """{"model":"m","instructions":"be brief","input":"what waits?"}""")]
    public async Task Record_is_full_The_messages_and_the_answer_come_in_one_form(string path, string body)
    {
        await using var server = await NatsServer.StartAsync();
        await using var ear = await NatsEar.StartAsync(server);
        await using var host = FakeBackend.Start();
        host.Answer(TranscriptHost.AnswerAsync);
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, "record = \"full\"", host: host));
        await proxy.Log.EventAsync("nats_up");

        var reply = await RawClient.SendAsync(proxy.Address, "POST", path, Encoding.UTF8.GetBytes(body), "anthropic-version: 2023-06-01");

        var done = (await ear.DoneAsync(reply.TraceId)).Json;
        Assert.Equal(["system be brief", "user what waits?"], done.GetProperty("messages").EnumerateArray()
            .Select(static message => $"{message.GetProperty("role").GetString()} {TextIn(message)}"));
        Assert.Equal("""[{"role":"assistant","content":"The queue holds a \"short\" wait.\n"}]""", done.GetProperty("answers").GetRawText());
        Assert.False(done.TryGetProperty("truncated", out _));
    }

    [Fact]
    public async Task Conversation_of_5_MB_Goes_to_the_object_store_and_its_message_says_where()
    {
        await using var server = await NatsServer.StartAsync();
        await using var ear = await NatsEar.StartAsync(server);
        await using var host = FakeBackend.Start();
        var text = Text(5 << 20);
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(text)));
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, "record = \"full\"", host: host));
        await CreatedAsync(proxy, "OBJ_PROXY_CONTENT");

        var reply = await NatsOutageTests.CallAsync(proxy, "m", stream: false, text: text);

        var done = (await ear.DoneAsync(reply.TraceId)).Json;
        var content = done.GetProperty("content");
        Assert.Equal(("PROXY_CONTENT", reply.TraceId), (content.GetProperty("bucket").GetString(), content.GetProperty("name").GetString()));
        var stored = await ReadObjectAsync(server, "PROXY_CONTENT", reply.TraceId);
        Assert.Equal((stored.Length, Convert.ToHexStringLower(SHA256.HashData(stored))),
            (content.GetProperty("size").GetInt32(), content.GetProperty("sha256").GetString()));
        var conversation = JsonElement.Parse(stored);
        Assert.Equal(text, conversation.GetProperty("messages")[0].GetProperty("content").GetString());
        Assert.Equal(text, conversation.GetProperty("answers")[0].GetProperty("content").GetString());
        Assert.False(done.TryGetProperty("truncated", out _));
        // The events have the whole answer, in as many messages as it takes.
        Assert.Equal(text, PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)));
        Assert.Equal(0, await NatsOutageTests.MetricAsync(proxy, "proxy_nats_truncated_total"));
    }

    [Fact]
    public async Task Conversation_of_5_MB_without_jetstream_Is_cut_marked_and_counted()
    {
        await using var server = await NatsServer.StartAsync(jetStream: false);
        await using var ear = await NatsEar.StartAsync(server);
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, "record = \"full\""));
        await proxy.Log.EventAsync("nats_up");
        var text = Text(5 << 20);
        var body = $$"""{"model":"echo","messages":[{"role":"system","content":"{{text}}"},{"role":"user","content":"the last one"}]}""";

        var reply = await RawClient.SendAsync(proxy.Address, "POST", "/v1/chat/completions", Encoding.UTF8.GetBytes(body));

        var done = (await ear.DoneAsync(reply.TraceId)).Json;
        Assert.True(done.GetProperty("truncated").GetBoolean());
        Assert.Equal("the last one", Assert.Single(done.GetProperty("messages").EnumerateArray()).GetProperty("content").GetString());
        Assert.StartsWith("the last one", done.GetProperty("answers")[0].GetProperty("content").GetString(), StringComparison.Ordinal);
        Assert.Equal(1, await NatsOutageTests.MetricAsync(proxy, "proxy_nats_truncated_total"));
    }

    [Fact]
    public async Task Server_takes_small_messages_only_Nothing_is_larger_and_the_answer_is_whole()
    {
        await using var server = await NatsServer.StartAsync(jetStream: false, config: "max_payload: 8192");
        await using var ear = await NatsEar.StartAsync(server);
        await using var host = FakeBackend.Start();
        var text = Text(200_000);
        host.Answer(exchange => exchange.JsonAsync(OpenAi.Whole(text)));
        await using var proxy = await ProxyProcess.StartAsync(NatsOutageTests.Config(server, "record = \"full\"", host: host));
        await proxy.Log.EventAsync("nats_up");

        var reply = await NatsOutageTests.CallAsync(proxy, "m", stream: false, text: text);

        Assert.Equal(text, PublishedCallTests.TextOf(await ear.EventsAsync(reply.TraceId)));
        Assert.True((await ear.DoneAsync(reply.TraceId)).Json.GetProperty("truncated").GetBoolean());
        Assert.DoesNotContain(proxy.Log.Lines, static line => ProxyLog.Text(line, "event") is "nats_error" or "nats_dropped" or "nats_failed");
    }

    /// <summary>Text with characters of one to four bytes, so that a cut inside one would show.</summary>
    private static string Text(int bytes) => string.Concat(Enumerable.Repeat("née 語 🙂 ", bytes / 15)).TrimEnd();

    private static string? TextIn(JsonElement message)
    {
        var content = message.GetProperty("content");
        return content.ValueKind is JsonValueKind.String ? content.GetString() : content[0].GetProperty("text").GetString();
    }

    private static Task<JsonElement> CreatedAsync(ProxyProcess proxy, string stream) => proxy.Log.LineAsync(
        line => ProxyLog.Text(line, "event") == "nats_stream_created"
            && line.GetRawText().Contains(stream, StringComparison.Ordinal), $"the creation of {stream}");

    private static (string Subjects, long Age, long Bytes, string? Discard, string? Storage) Limits(JsonElement config) =>
        (config.GetProperty("subjects").GetRawText(), config.GetProperty("max_age").GetInt64(), config.GetProperty("max_bytes").GetInt64(),
            config.GetProperty("discard").GetString(), config.GetProperty("storage").GetString());

    /// <summary>Reads an object as NATS' own clients do: its description, then its chunks in order, checked against the digest.</summary>
    internal static async Task<byte[]> ReadObjectAsync(NatsServer server, string bucket, string name)
    {
        var encoded = Convert.ToBase64String(Encoding.UTF8.GetBytes(name)).Replace('+', '-').Replace('/', '_');
        var info = JsonElement.Parse(await MessageAsync($$"""{"last_by_subj":"$O.{{bucket}}.M.{{encoded}}"}"""));
        var chunks = new List<byte[]>();
        for (var seq = 1; chunks.Count < info.GetProperty("chunks").GetInt32(); seq++) chunks.Add(await MessageAsync($$"""{"seq":{{seq}}}"""));
        byte[] whole = [.. chunks.SelectMany(static chunk => chunk)];
        var digest = Convert.ToBase64String(SHA256.HashData(whole)).Replace('+', '-').Replace('/', '_');
        Assert.Equal((name, whole.Length, $"SHA-256={digest}"),
            (info.GetProperty("name").GetString(), info.GetProperty("size").GetInt32(), info.GetProperty("digest").GetString()));
        return whole;

        async Task<byte[]> MessageAsync(string which) => Convert.FromBase64String(
            (await NatsOutageTests.AskAsync(server, $"STREAM.MSG.GET.OBJ_{bucket}", which)).GetProperty("message").GetProperty("data").GetString()!);
    }
}
