using System.Text;

namespace Proxy.Tests.Harness;

/// <summary>A streamed chat as its client sees it; the test decides when to read on.</summary>
internal sealed class StreamedChat : IDisposable
{
    readonly HttpResponseMessage response;
    readonly Stream body;
    readonly MemoryStream read = new();

    StreamedChat(HttpResponseMessage response, Stream body)
    {
        this.response = response;
        this.body = body;
    }

    /// <summary>Returns when the first token of a <see cref="TokenHost"/>'s stream has arrived.</summary>
    public static async Task<StreamedChat> BeginAsync(HttpClient client, string model)
    {
        var response = await SendAsync(client, model);
        Assert.True(response.IsSuccessStatusCode, $"{response.StatusCode} {(response.IsSuccessStatusCode ? "" : await response.Content.ReadAsStringAsync())}");
        var chat = new StreamedChat(response, await response.Content.ReadAsStreamAsync());
        var beginning = TokenHost.Beginning(model);
        while (chat.read.Length < Encoding.UTF8.GetByteCount(beginning) && await chat.ReadAsync()) ;
        Assert.StartsWith(beginning, chat.Read, StringComparison.Ordinal);
        return chat;
    }

    public static Task<HttpResponseMessage> SendAsync(HttpClient client, string model) =>
        client.SendAsync(
            new(HttpMethod.Post, "/v1/chat/completions")
            {
                Content = new StringContent(
                    $$"""{"model":"{{model}}","stream":true,"messages":[{"role":"user","content":"count"}]}""", Encoding.UTF8, "application/json"),
            },
            HttpCompletionOption.ResponseHeadersRead);

    /// <summary>The whole stream from the first byte to the end.</summary>
    public async Task<string> EndAsync()
    {
        while (await ReadAsync()) ;
        return Read;
    }

    string Read => Encoding.UTF8.GetString(read.ToArray());

    public void Dispose() => response.Dispose();

    async Task<bool> ReadAsync()
    {
        var buffer = new byte[4096];
        var count = await body.ReadAsync(buffer);
        read.Write(buffer.AsSpan(0, count));
        return count > 0;
    }
}
