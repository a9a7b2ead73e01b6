using System.Globalization;
using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// Streams whose connections break one to five times, each at a random byte, and are resumed each time: what the client has in the end is what one connection
/// would have given. PROXY_CUT_STREAMS sets how many (1000 take minutes), PROXY_CUT_SEED repeats a run.
/// </summary>
public sealed class CutStreamTests
{
    private static readonly string[] Clients = ["openai", "renamed", "anthropic", "responses", "ollama", "conversation", "bytes"];

    private static readonly int Count = Number("PROXY_CUT_STREAMS") ?? 105;
    private static readonly int Seed = Number("PROXY_CUT_SEED") ?? Environment.TickCount & 0xFFFFFF;

    [Fact]
    public async Task Streams_are_cut_and_resumed_Nothing_is_lost_or_doubled()
    {
        var host = FakeBackend.Start();
        await using var hosting = host;
        host.Answer(AnswerAsync);
        await using var proxy = await StartAsync(host.Url);

        await CutAllAsync(proxy.Address, host, Count);
    }

    [Fact]
    public async Task Streams_through_two_proxies_are_cut_and_resumed_at_the_first()
    {
        var host = FakeBackend.Start();
        await using var hosting = host;
        host.Answer(AnswerAsync);
        await using var behind = await StartAsync(host.Url);
        await using var front = await StartAsync(behind.Address.GetLeftPart(UriPartial.Authority));

        await CutAllAsync(front.Address, host, Count / 3);
    }

    private static Task<RoutedProxy> StartAsync(string host) => RoutedProxy.StartAsync($"""
        {FrontDoor.Server()}
        [inference]
        bundled = false
        [streams]
        memory = "512MiB"
        [aliases]
        other = "served"
        [[backends]]
        name = "a"
        url = "{host}"
        dialects = ["openai"]
        models = ["served"]
        """, static _ => []);

    private static async Task CutAllAsync(Uri proxy, FakeBackend host, int count)
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"PROXY_CUT_SEED={Seed} PROXY_CUT_STREAMS={count}");
        var cuts = 0;
        await Parallel.ForEachAsync(Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (number, _) =>
        {
            var client = Clients[number % Clients.Length];
            try
            {
                Interlocked.Add(ref cuts, await CutAsync(proxy, client, number));
            }
            catch (Exception problem)
            {
                throw new InvalidOperationException($"PROXY_CUT_SEED={Seed}: the stream {number} of the client '{client}' failed: {problem.Message}", problem);
            }
        });

        TestContext.Current.TestOutputHelper?.WriteLine($"{count} streams, {cuts} cuts, {host.Calls.Count} generations");
        Assert.Equal(count, host.Calls.Count);
        Assert.InRange(cuts, count, 5 * count);
    }

    /// <summary>Cuts one stream, and returns how often.</summary>
    private static async Task<int> CutAsync(Uri proxy, string client, int number)
    {
        var random = Randoms(number, 1);
        var bytesCount = client is "conversation" or "bytes";
        var (path, body) = Request(client, number);
        var current = await RawClient.ConnectAsync(proxy);
        await current.RequestAsync("POST", path, Encoding.UTF8.GetBytes(body), bytesCount ? $"X-Conversation-Id: c{number}" : "x-resume: 1");
        await current.ReadHeadAsync();
        Assert.Equal(200, current.Status);
        var location = current.Headers.FirstOrDefault(static header => header.Name == "Location").Value;
        var has = new List<byte>();
        var cuts = random.Next(1, 6);
        var left = Host(number).Sum(static frame => Encoding.UTF8.GetByteCount(frame));
        for (var cut = 0; cut < cuts; cut++)
        {
            await ReadSomeAsync(current, random.Next(0, Math.Max(1, left / 2)));
            var got = current.BytesSoFar;
            has.AddRange(bytesCount ? got : Messages(client, got));
            left -= got.Length;
            if (random.Next(2) == 0) current.Reset();
            await current.DisposeAsync();
            if (random.Next(3) == 0) await Task.Delay(random.Next(5), TestContext.Current.CancellationToken);
            current = await RawClient.ConnectAsync(proxy);
            await ResumeAsync(current, client, number, location, has, random);
            await current.ReadHeadAsync();
            Assert.True(current.Status is 200 or 204, $"{current.Status} {current.BodySoFar}");
        }

        has.AddRange((await current.ReadRestAsync()).Body);
        await current.DisposeAsync();
        var whole = await RawClient.SendAsync(proxy, "GET", bytesCount ? $"/v1/stream?conv_id=c{number}" : location!);
        Assert.Equal(whole.Text, Encoding.UTF8.GetString([.. has]));
        var reply = new RawReply(200, [], [.. has], true);
        var expected = MatrixAnswer.Of("openai", true, new RawReply(200, [], Encoding.UTF8.GetBytes(string.Concat(Host(number))), true));
        if (client is "openai" or "bytes") Assert.Equal(string.Concat(Host(number)), WithoutIds(reply.Text));
        else Assert.Equal(Comparable(client, expected), Comparable(client, MatrixAnswer.Of(Dialect(client), true, reply)));
        return cuts;
    }

    private static string Dialect(string client) => client switch { "renamed" => "openai", "conversation" => "anthropic", _ => client };

    /// <summary>What every dialect can say: Ollama's calls have no ids in its oldest clients, so they are compared by the rest.</summary>
    private static (string, string, string, string?) Comparable(string client, MatrixAnswer answer) =>
        (answer.Text, client is "responses" ? "" : answer.Reasoning, answer.Calls, client is "ollama" ? null : answer.Reason);

    private static async Task ReadSomeAsync(RawClient client, int bytes)
    {
        while (client.BytesSoFar.Length < bytes && await client.ReadPieceAsync())
        {
        }
    }

    /// <summary>The messages that are complete.</summary>
    private static byte[] Messages(string client, byte[] got)
    {
        var end = client is "ollama" ? got.AsSpan().LastIndexOf((byte)'\n') + 1 : got.AsSpan().LastIndexOf("\n\n"u8) is var at and >= 0 ? at + 2 : 0;
        return got[..end];
    }

    private static Task ResumeAsync(RawClient client, string name, int number, string? location, List<byte> has, Random random)
    {
        if (name is "conversation" or "bytes") return client.RequestAsync("GET", $"/v1/stream?conv_id=c{number}&from={has.Count}");
        var text = Encoding.UTF8.GetString([.. has]);
        if (name is "ollama") return client.RequestAsync("GET", $"{location}?after={text.Count(static c => c == '\n')}");
        var id = text.Split('\n').LastOrDefault(static line => line.StartsWith("id: ", StringComparison.Ordinal))?["id: ".Length..];
        if (id is null) return client.RequestAsync("GET", location!);
        return random.Next(3) switch
        {
            0 => client.RequestAsync("GET", location!, null, $"Last-Event-ID: {id}"),
            1 => client.RequestAsync("GET", $"{location}?after={Uri.EscapeDataString(id)}"),
            _ => client.RequestAsync("GET", $"{location}?after={id.Split('/')[1]}"),
        };
    }

    private static (string Path, string Body) Request(string client, int number) => client switch
    {
        "anthropic" or "conversation" =>
            ("/v1/messages", $$"""{"model":"served","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"stream {{number}}"}]}"""),
        "responses" => ("/v1/responses", $$"""{"model":"served","stream":true,"input":"stream {{number}}"}"""),
        "ollama" => ("/api/chat", $$"""{"model":"served","messages":[{"role":"user","content":"stream {{number}}"}]}"""),
        _ => (StreamHouse.Chat, OpenAi.Request(
            client is "renamed" ? "other" : "served", stream: true, ""","stream_options":{"include_usage":true}""", $"stream {number}")),
    };

    /// <summary>The frames that the host answers with: thoughts, text with long characters, comments, and tool calls in pieces.</summary>
    private static List<string> Host(int number)
    {
        var random = Randoms(number, 2);
        List<string> frames = [OpenAi.Role()];
        for (var i = random.Next(4); i > 0; i--) frames.Add(Delta($$"""{"reasoning":"thought {{i}} ","reasoning_content":"thought {{i}} "}"""));
        for (var i = random.Next(5, 60); i > 0; i--)
            frames.Add(random.Next(12) == 0 ? ": keep-alive\n\n" : OpenAi.Token(random.Next(4) == 0 ? "héllo 😀 " : $"word{i} "));
        var calls = random.Next(3);
        for (var call = 0; call < calls; call++)
        {
            frames.Add(Delta($$$"""{"tool_calls":[{"index":{{{call}}},"id":"call_{{{number}}}_{{{call}}}","type":"function","function":{"name":"weather","arguments":""}}]}"""));
            foreach (var piece in (string[])["{\\\"city\\\":", "\\\"Zürich\\\"", "}"])
                frames.Add(Delta($$$"""{"tool_calls":[{"index":{{{call}}},"function":{"arguments":"{{{piece}}}"}}]}"""));
        }

        frames.Add(Delta("{}", calls > 0 ? "\"tool_calls\"" : "\"stop\""));
        frames.Add("""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}""" + "\n\n");
        frames.Add(OpenAi.Done);
        return frames;

        static string Delta(string delta, string finish = "null") =>
            $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"served","choices":[{"index":0,"delta":{{delta}},"finish_reason":{{finish}}}]}""" + "\n\n";
    }

    /// <summary>Sends the frames in pieces of random size, so that frames are cut anywhere and several come at once.</summary>
    private static async Task AnswerAsync(FakeExchange exchange)
    {
        var prompt = exchange.Request.Json.GetProperty("messages").EnumerateArray().Last().GetProperty("content").GetString()!;
        var number = int.Parse(prompt["stream ".Length..], CultureInfo.InvariantCulture);
        var random = Randoms(number, 3);
        var bytes = Encoding.UTF8.GetBytes(string.Concat(Host(number)));
        await exchange.HeadAsync(OpenAi.Sse);
        for (var at = 0; at < bytes.Length;)
        {
            var size = Math.Min(random.Next(1, 700), bytes.Length - at);
            await exchange.ChunkAsync(bytes.AsMemory(at, size));
            at += size;
            if (random.Next(2) == 0) await Task.Delay(random.Next(4));
        }

        await exchange.EndAsync();
    }

    private static string WithoutIds(string text) => string.Concat(text.Split('\n').Where(static line => !line.StartsWith("id: ", StringComparison.Ordinal))
        .Select(static line => line + "\n"))[..^1];

    /// <summary>The same numbers in each run with the same seed.</summary>
    private static Random Randoms(int number, int purpose) => new(unchecked((((Seed * 31) + number) * 31) + purpose));

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}
