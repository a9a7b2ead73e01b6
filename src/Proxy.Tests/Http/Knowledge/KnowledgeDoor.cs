using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Proxy.Composition;
using Proxy.Knowledge;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http.Knowledge;

/// <summary>A proxy whose documents are in a store of the test, and a client of it. Files are read into workspaces only where a test says so.</summary>
internal sealed class KnowledgeDoor : IAsyncDisposable
{
    /// <summary>
    /// A key for each kind of caller: <c>ann</c> and <c>bob</c> have no list, <c>cat</c> has one, <c>root</c> is an operator's. The key of NAME is
    /// <c>key-NAME</c>.
    /// </summary>
    public const string Keys = """
        [[auth.keys]]
        name = "ann"
        sha256 = "a82937400c2cc11407f5bb2f9af56eded40d3002f15bdf996f5b70917bf8edb1"
        [[auth.keys]]
        name = "bob"
        sha256 = "f031fc74d10cf0c1284dc15f679c18b1e8e05f9d1966adefba6c6463cdcef658"
        [[auth.keys]]
        name = "cat"
        sha256 = "ae162ec2c530b7f1fa8ec0bde90da66847ff9ed827c009655b29fd6fbf13aad8"
        workspaces = ["shared", "team-*"]
        [[auth.keys]]
        name = "root"
        sha256 = "ea41b1bbe40c422c2abd1fc466cf76107b4a848363cee8b44d0c66cbb2451e4b"
        admin = true
        """;

    private readonly CancellationTokenSource stop = new();
    private readonly RoutedProxy proxy;
    private readonly PartsBuilder parts;
    private Task reading = Task.CompletedTask;

    private KnowledgeDoor(RoutedProxy proxy, PartsBuilder parts, MemoryKnowledgeStore store)
    {
        (this.proxy, this.parts, Store) = (proxy, parts, store);
        Client = new HttpClient { BaseAddress = proxy.Address };
    }

    public MemoryKnowledgeStore Store { get; }

    public RoutedProxy Proxy => proxy;

    public HttpClient Client { get; }

    public KnowledgeParts Knowledge => parts.Knowledge!;

    public static async Task<KnowledgeDoor> StartAsync(string more = "", string transport = "")
    {
        var store = new MemoryKnowledgeStore();
        PartsBuilder? built = null;
        var server = FrontDoor.Server(transport: transport.Length > 0 ? transport : null);
        var proxy = await RoutedProxy.StartAsync($"{server}\n[log]\nformat = \"json\"\n{more}", static _ => [], more: parts =>
        {
            parts.Documents = store;
            built = parts;
        });
        return new(proxy, built!, store);
    }

    /// <summary>Begins to read files into workspaces.</summary>
    public void Read() => reading = Knowledge.Ingest.RunAsync(isAlone: false, stop.Token);

    public async Task<(int Status, JsonElement Json, HttpResponseMessage Reply)> SendAsync(string method, string path, string? body = null, string? key = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        return await SendAsync(request, key);
    }

    /// <summary>Uploads a file as the SDKs do: the purpose comes after it.</summary>
    public async Task<(int Status, JsonElement Json, HttpResponseMessage Reply)> UploadAsync(
        byte[] content, string name = "a.txt", string? purpose = "assistants", string? key = null, params (string Name, string Value)[] fields)
    {
        using var form = new MultipartFormDataContent { { new ByteArrayContent(content), "file", name } };
        if (purpose is not null) form.Add(new StringContent(purpose), "purpose");
        foreach (var (field, value) in fields) form.Add(new StringContent(value), field);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/files") { Content = form };
        return await SendAsync(request, key);
    }

    /// <summary>Uploads a text and returns the file's id.</summary>
    public async Task<string> FileAsync(string text = "A text.", string name = "a.txt", string? key = null)
    {
        var (status, json, _) = await UploadAsync(Encoding.UTF8.GetBytes(text), name, key: key);
        Assert.Equal(200, status);
        return json.GetProperty("id").GetString()!;
    }

    /// <summary>Creates a workspace and returns its id.</summary>
    public async Task<string> WorkspaceAsync(string name = "docs", string? key = null)
    {
        var (status, json, _) = await SendAsync("POST", "/v1/vector_stores", JsonSerializer.Serialize(new { name }), key);
        Assert.Equal(200, status);
        return json.GetProperty("id").GetString()!;
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Client.Dispose();
        await proxy.DisposeAsync();
        stop.Dispose();
    }

    private async Task<(int Status, JsonElement Json, HttpResponseMessage Reply)> SendAsync(HttpRequestMessage request, string? key)
    {
        if (key is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        var reply = await Client.SendAsync(request, TestContext.Current.CancellationToken);
        var text = await reply.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        return ((int)reply.StatusCode, text.StartsWith('{') ? JsonElement.Parse(text) : default, reply);
    }
}
