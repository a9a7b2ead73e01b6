using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using System.Text.Json;
using OpenAI;
using OpenAI.Files;
using OpenAI.VectorStores;
using Proxy.Tests.Harness;

#pragma warning disable OPENAI001 // the package marks vector stores as a preview; they are what is tested

namespace Proxy.Tests.Sdk;

/// <summary>OpenAI's clients put files into vector stores and search these, with the bundled model and the embedded store.</summary>
[Trait("Category", "Sdk")]
public sealed class KnowledgeSdkTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Client_for_JavaScript_Everything_works()
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server());

        Assert.Equal(13, (await Script.NodeAsync("knowledge.mjs", proxy.Address)).Count);
    }

    [Fact]
    public async Task Client_for_Python_Everything_works()
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server());

        Assert.Equal(10, (await Script.PythonAsync("knowledge_client.py", proxy.Address)).Count);
    }

    [Fact]
    public async Task Client_for_dotnet_Everything_works()
    {
        await using var proxy = await ProxyProcess.StartAsync(FrontDoor.Server());
        var client = new OpenAIClient(
            new ApiKeyCredential("sk-unused"), new OpenAIClientOptions { Endpoint = new Uri(proxy.Address, "/v1"), RetryPolicy = new ClientRetryPolicy(0) });
        var (files, stores) = (client.GetOpenAIFileClient(), client.GetVectorStoreClient());

        using var tulips = new MemoryStream("Tulips grow from bulbs."u8.ToArray());
        OpenAIFile file = await files.UploadFileAsync(tulips, "tulips é.txt", FileUploadPurpose.Assistants, Stop);
        OpenAIFile other = await files.UploadFileAsync(BinaryData.FromString("Oaks grow from acorns."), "oaks.txt", FileUploadPurpose.UserData);
        VectorStore store = await stores.CreateVectorStoreAsync(new VectorStoreCreationOptions
        {
            Name = "plants", FileIds = { file.Id }, ExpirationPolicy = new(VectorStoreExpirationAnchor.LastActiveAt, 3),
            ChunkingStrategy = FileChunkingStrategy.CreateStaticStrategy(120, 30),
        }, Stop);
        VectorStoreFileBatch batch = await stores.AddFileBatchToVectorStoreAsync(store.Id, [other.Id], Stop);
        await Patience.Until(async () => (await stores.GetVectorStoreFileBatchAsync(store.Id, batch.BatchId, Stop)).Value.Status
            == VectorStoreFileBatchStatus.Completed, "the batch is read");
        await Patience.Until(async () => (await stores.GetVectorStoreAsync(store.Id, Stop)).Value.Status == VectorStoreStatus.Completed, "both files are read");
        VectorStoreFile read = await stores.GetVectorStoreFileAsync(store.Id, file.Id, Stop);
        using var query = BinaryContent.Create(BinaryData.FromString("""{"query":"What do tulips come from?","max_num_results":1}"""));
        var found = JsonElement.Parse((await stores.SearchVectorStoreAsync(store.Id, query)).GetRawResponse().Content);

        Assert.Equal("tulips é.txt", file.Filename);
        Assert.Equal(file.Id, found.GetProperty("data")[0].GetProperty("file_id").GetString());
        Assert.Equal(VectorStoreFileStatus.Completed, read.Status);
        var cut = Assert.IsType<StaticFileChunkingStrategy>(read.ChunkingStrategy);
        Assert.Equal((120, 30), (cut.MaxTokensPerChunk, cut.OverlappingTokenCount));
        Assert.Equal("Tulips grow from bulbs.", Encoding.UTF8.GetString((await files.DownloadFileAsync(file.Id, Stop)).Value));
        Assert.Equal(2, (await files.GetFilesAsync(Stop)).Value.Count);
        Assert.Equal(other.Id, Assert.Single((await files.GetFilesAsync(FilePurpose.UserData, Stop)).Value).Id);
        var listed = new List<string>();
        await foreach (var one in stores.GetVectorStoreFilesAsync(store.Id, cancellationToken: Stop)) listed.Add(one.FileId);
        Assert.Equal([other.Id, file.Id], listed);
        Assert.True((await stores.RemoveFileFromVectorStoreAsync(store.Id, file.Id, Stop)).Value.Removed);
        Assert.True((await files.DeleteFileAsync(file.Id, Stop)).Value.Deleted);
        Assert.True((await stores.DeleteVectorStoreAsync(store.Id, Stop)).Value.Deleted);
        Assert.Equal(404, (await Assert.ThrowsAsync<ClientResultException>(() => stores.GetVectorStoreAsync(store.Id, Stop))).Status);
    }
}
