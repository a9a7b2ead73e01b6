using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.EndToEnd;

/// <summary>An <c>Idempotency-Key</c> has the same answer after the process was killed, if there is a database.</summary>
public sealed class StoredKeyTests
{
    [Theory]
    [InlineData("openai", true, StreamHouse.Chat, """{"model":"served","stream":true,"messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("openai", false, StreamHouse.Chat, """{"model":"served","messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("openai", true, "/v1/messages", """{"model":"served","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hello"}]}""")]
    [InlineData("openai", true, "/v1/responses", """{"model":"served","stream":true,"input":"hello","instructions":"be brief"}""")]
    [InlineData("ollama", true, "/api/chat", """{"model":"served","messages":[{"role":"user","content":"hello"}]}""")]
    public async Task Process_is_killed_The_answer_to_the_key_stays(string host, bool streams, string path, string body)
    {
        await using var backend = FakeBackend.Start();
        backend.Answer(async exchange =>
        {
            if (!streams)
            {
                await exchange.JsonAsync(OpenAi.Whole("all"));
                return;
            }

            await exchange.HeadAsync(host is "ollama" ? Ollama.Lines : OpenAi.Sse);
            await exchange.ChunkAsync(string.Concat(host is "ollama" ? Ollama.Stream("One", " two") : OpenAi.Stream("One", " two")));
            await exchange.EndAsync();
        });
        var config = $"""
            {FrontDoor.Server()}
            [inference]
            bundled = false
            [log]
            format = "json"
            [[backends]]
            name = "a"
            url = "{backend.Url}"
            dialects = ["{host}"]
            models = ["served"]
            [store]
            """;
        var state = Directory.CreateTempSubdirectory("proxy-keys-").FullName;
        try
        {
            RawReply first;
            await using (var proxy = await ProxyProcess.StartAsync(config, state: state))
            {
                first = await CallAsync(proxy.Address, body);
                Assert.Equal((200, 64), (first.Status, first.Header("x-req-id")?.Length));
                await proxy.KillAsync();
            }

            await using var next = await ProxyProcess.StartAsync(config, state: state);
            var second = await CallAsync(next.Address, body);
            var other = await CallAsync(next.Address, body.Replace("hello", "other", StringComparison.Ordinal));

            Assert.Equal((first.Text, "true", first.TraceId), (second.Text, second.Header("idempotent-replayed"), second.Header("x-joined-trace-id")));
            Assert.Equal(422, other.Status);
            Assert.Single(backend.Calls);
        }
        finally
        {
            Directory.Delete(state, recursive: true);
        }

        Task<RawReply> CallAsync(Uri address, string sent) => RawClient.SendAsync(
            address, "POST", path, Encoding.UTF8.GetBytes(sent), "Idempotency-Key: k1", "anthropic-version: 2023-06-01");
    }
}
