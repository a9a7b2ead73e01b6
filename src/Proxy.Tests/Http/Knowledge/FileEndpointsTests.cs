using System.Text;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Http.Knowledge;

/// <summary>OpenAI's files. Every answer is checked against OpenAI's schema.</summary>
public sealed class FileEndpointsTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task UploadedFile_IsReturned_Listed_Downloaded_AndDeleted()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var content = Encoding.UTF8.GetBytes("naïve\0\r\n--x");

        var (status, file, _) = await door.UploadAsync(content, "nä.txt", "my own purpose");

        Assert.Equal(200, status);
        Assert.All(OpenApiSchema.OpenAi.Problems("OpenAIFile", file.GetRawText()), static line => Assert.Contains("purpose", line, StringComparison.Ordinal));
        var id = file.GetProperty("id").GetString()!;
        Assert.Matches("^file-[0-9a-f]{24}$", id);
        Assert.Equal(("nä.txt", content.Length, "my own purpose", "processed"),
            (file.GetProperty("filename").GetString(), file.GetProperty("bytes").GetInt32(), file.GetProperty("purpose").GetString(),
            file.GetProperty("status").GetString()));
        var (_, again, _) = await door.SendAsync("GET", $"/v1/files/{id}");
        Assert.Equal(file.GetRawText(), again.GetRawText());
        using var download = await door.Client.GetAsync($"/v1/files/{id}/content", Stop);
        Assert.Equal(content, await download.Content.ReadAsByteArrayAsync(Stop));
        Assert.Equal("application/octet-stream", download.Content.Headers.ContentType!.MediaType);
        Assert.Equal("nä.txt", download.Content.Headers.ContentDisposition!.FileNameStar);
        Assert.Equal("nosniff", download.Headers.GetValues("x-content-type-options").Single());
        var (_, head, reply) = await door.SendAsync("HEAD", $"/files/{id}/content");
        Assert.Equal((content.Length, default), (reply.Content.Headers.ContentLength, head));

        var (_, deleted, _) = await door.SendAsync("DELETE", $"/v1/files/{id}");

        OpenApiSchema.OpenAi.Valid("DeleteFileResponse", deleted.GetRawText());
        var (gone, error, _) = await door.SendAsync("GET", $"/v1/files/{id}/content");
        Assert.Equal((404, $"No such File object: {id}"), (gone, error.GetProperty("error").GetProperty("message").GetString()));
        Assert.Equal(404, (await door.SendAsync("DELETE", $"/v1/files/{id}")).Status);
    }

    [Fact]
    public async Task List_HasPages_InBothOrders_AndByPurpose()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < 5; i++)
        {
            door.Proxy.Time.Advance(TimeSpan.FromSeconds(1));
            ids.Add((await door.UploadAsync("x"u8.ToArray(), $"{i}.txt", i == 4 ? "batch" : "assistants")).Json.GetProperty("id").GetString()!);
        }

        Assert.Equal(("4.txt 3.txt", true), await PageAsync("limit=2"));
        Assert.Equal(("2.txt 1.txt", true), await PageAsync($"limit=2&after={ids[3]}"));
        Assert.Equal(("0.txt", false), await PageAsync($"limit=2&after={ids[1]}"));
        Assert.Equal(("0.txt 1.txt 2.txt 3.txt 4.txt", false), await PageAsync("order=asc"));
        Assert.Equal(("4.txt", false), await PageAsync("purpose=batch"));
        Assert.Equal(("", false), await PageAsync("purpose=vision"));

        async Task<(string Names, bool HasMore)> PageAsync(string query)
        {
            var (status, json, _) = await door.SendAsync("GET", "/v1/files?" + query);
            Assert.Equal(200, status);
            OpenApiSchema.OpenAi.Valid("ListFilesResponse", json.GetRawText());
            return (string.Join(' ', json.GetProperty("data").EnumerateArray().Select(file => file.GetProperty("filename").GetString())),
                json.GetProperty("has_more").GetBoolean());
        }
    }

    [Theory]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=10001", "limit")]
    [InlineData("limit=x", "limit")]
    [InlineData("order=up", "order")]
    public async Task WrongQuery_IsNamed(string query, string param)
    {
        await using var door = await KnowledgeDoor.StartAsync();

        var (status, error, _) = await door.SendAsync("GET", "/v1/files?" + query);

        Assert.Equal((400, param), (status, error.GetProperty("error").GetProperty("param").GetString()));
        OpenApiSchema.OpenAi.Valid("ErrorResponse", error.GetRawText());
    }

    [Fact]
    public async Task Expiry_IsKept_AndTheFileIsGoneThen()
    {
        await using var door = await KnowledgeDoor.StartAsync();

        var (_, file, _) = await door.UploadAsync("x"u8.ToArray(), fields: [("expires_after[anchor]", "created_at"), ("expires_after[seconds]", "3600")]);
        var (_, other, _) = await door.UploadAsync("x"u8.ToArray(), fields: ("expires_after", """{"anchor":"created_at","seconds":7200}"""));

        Assert.Equal(3600, file.GetProperty("expires_at").GetInt64() - file.GetProperty("created_at").GetInt64());
        Assert.Equal(7200, other.GetProperty("expires_at").GetInt64() - other.GetProperty("created_at").GetInt64());
        door.Proxy.Time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(404, (await door.SendAsync("GET", $"/v1/files/{file.GetProperty("id").GetString()}")).Status);
        Assert.Equal(200, (await door.SendAsync("GET", $"/v1/files/{other.GetProperty("id").GetString()}")).Status);
    }

    [Theory]
    [InlineData("expires_after[anchor]", "created_at", "expires_after.seconds")]
    [InlineData("expires_after[seconds]", "3600", "expires_after.anchor")]
    [InlineData("expires_after", "soon", "expires_after")]
    [InlineData("expires_after", """{"anchor":"created_at","seconds":1}""", "expires_after.seconds")]
    [InlineData("expires_after", """{"anchor":"now","seconds":3600}""", "expires_after.anchor")]
    [InlineData("purpose", "", "purpose")]
    public async Task WrongField_IsNamed(string field, string value, string param)
    {
        await using var door = await KnowledgeDoor.StartAsync();

        var (status, error, _) = await door.UploadAsync("x"u8.ToArray(), purpose: field == "purpose" ? null : "assistants", fields: (field, value));

        Assert.Equal((400, param), (status, error.GetProperty("error").GetProperty("param").GetString()));
    }

    [Fact]
    public async Task MissingFile_MissingPurpose_AndNoForm_AreNamed()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        using var empty = new MultipartFormDataContent { { new StringContent("assistants"), "purpose" } };

        using var noFile = await door.Client.PostAsync("/v1/files", empty, Stop);
        var (noPurpose, error, _) = await door.UploadAsync("x"u8.ToArray(), purpose: null);
        var (noForm, _, _) = await door.SendAsync("POST", "/v1/files", "{}");

        Assert.Equal(400, (int)noFile.StatusCode);
        Assert.Contains("\"param\":\"file\"", await noFile.Content.ReadAsStringAsync(Stop), StringComparison.Ordinal);
        Assert.Equal((400, "purpose"), (noPurpose, error.GetProperty("error").GetProperty("param").GetString()));
        Assert.Equal(415, noForm);
    }

    [Theory]
    [InlineData("../../etc/passwd", "passwd")]
    [InlineData("C:\\docs\\a.txt", "a.txt")]
    [InlineData("..", "file")]
    [InlineData("/", "file")]
    [InlineData("a\u0007\u0085b.txt", "ab.txt")]
    public async Task NameOfFile_IsTakenPlain(string sent, string kept)
    {
        await using var door = await KnowledgeDoor.StartAsync();
        var form = $"--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n"
            + $"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{sent}\"\r\n\r\nx\r\n--b--\r\n";

        var reply = await RawClient.SendAsync(
            door.Proxy.Address, "POST", "/v1/files", Encoding.UTF8.GetBytes(form), "content-type: multipart/form-data; boundary=b");

        Assert.Equal((200, kept), (reply.Status, reply.Json.GetProperty("filename").GetString()));
    }

    [Theory]
    [InlineData("epoll", true)]
    [InlineData("epoll", false)]
    [InlineData("sockets", true)]
    public async Task LargeUpload_IsTaken_AndOneOverTheLimitIsRefused(string transport, bool isChunked)
    {
        await using var door = await KnowledgeDoor.StartAsync("[knowledge]\nfile_limit = \"20MB\"", transport);
        var content = new byte[20_000_000];
        new Random(3).NextBytes(content);

        var (status, file, _) = await PostAsync(content);
        var (refused, error, _) = await PostAsync([.. content, 1]);

        Assert.Equal(200, status);
        Assert.Equal(Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(content)),
            (await door.Store.FileAsync(file.GetProperty("id").GetString()!, Stop))!.Sha256);
        Assert.Equal((413, "file"), (refused, error.GetProperty("error").GetProperty("param").GetString()));
        Assert.Contains("[knowledge] file_limit", error.GetProperty("error").GetProperty("message").GetString(), StringComparison.Ordinal);
        var (_, list, _) = await door.SendAsync("GET", "/v1/files");
        Assert.Equal(1, list.GetProperty("data").GetArrayLength());

        async Task<(int Status, System.Text.Json.JsonElement Json, HttpResponseMessage Reply)> PostAsync(byte[] bytes)
        {
            using var form = new MultipartFormDataContent { { new ByteArrayContent(bytes), "file", "a.bin" }, { new StringContent("assistants"), "purpose" } };
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/files") { Content = form };
            request.Headers.TransferEncodingChunked = isChunked;
            using var reply = await door.Client.SendAsync(request, Stop);
            return ((int)reply.StatusCode, System.Text.Json.JsonElement.Parse(await reply.Content.ReadAsStringAsync(Stop)), reply);
        }
    }

    [Fact]
    public async Task CompressedUpload_IsDecoded_AndABombIsRefused()
    {
        await using var door = await KnowledgeDoor.StartAsync("[knowledge]\nfile_limit = \"1MB\"");

        var (status, file) = await PostAsync("hello"u8.ToArray());
        var (refused, _) = await PostAsync(new byte[50_000_000]);

        Assert.Equal((200, 5), (status, file.GetProperty("bytes").GetInt32()));
        Assert.Equal(413, refused);

        async Task<(int Status, System.Text.Json.JsonElement Json)> PostAsync(byte[] bytes)
        {
            var packed = new MemoryStream();
            await using (var gzip = new System.IO.Compression.GZipStream(packed, System.IO.Compression.CompressionMode.Compress, leaveOpen: true))
            {
                await gzip.WriteAsync("--b\r\ncontent-disposition: form-data; name=file; filename=a.txt\r\n\r\n"u8.ToArray(), Stop);
                await gzip.WriteAsync(bytes, Stop);
                await gzip.WriteAsync("\r\n--b\r\ncontent-disposition: form-data; name=purpose\r\n\r\nassistants\r\n--b--\r\n"u8.ToArray(), Stop);
            }

            var reply = await RawClient.SendAsync(door.Proxy.Address, "POST", "/v1/files", packed.ToArray(),
                "content-type: multipart/form-data; boundary=b", "content-encoding: gzip");
            return (reply.Status, reply.Json);
        }
    }

    [Fact]
    public async Task ClientThatLeaves_LosesOnlyItsUpload()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        await using (var client = await RawClient.ConnectAsync(door.Proxy.Address))
        {
            await client.RequestAsync("POST", "/v1/files", "--b\r\ncontent-disposition: form-data; name=file; filename=a.txt\r\n\r\nhalf"u8.ToArray(),
                "content-type: multipart/form-data; boundary=b", "content-length: 1000000");
            await Patience.Until(() => Task.FromResult(door.Proxy.Calls.Count == 1), "the upload has begun");
            client.Reset();
        }

        await Patience.Until(() => Task.FromResult(door.Proxy.Calls.Count == 0), "the upload has ended");
        Assert.Empty((await door.SendAsync("GET", "/v1/files")).Json.GetProperty("data").EnumerateArray());
        Assert.NotNull(await door.FileAsync());
    }

    [Fact]
    public async Task StoreThatFails_IsAPlain503_AndTheLogSaysWhy()
    {
        await using var door = await KnowledgeDoor.StartAsync();
        door.Store.Fails = "the disk of documents is full";

        var (status, error, _) = await door.UploadAsync("x"u8.ToArray());
        var (listed, _, _) = await door.SendAsync("GET", "/v1/vector_stores");

        Assert.Equal((503, 503, "store_failed"), (status, listed, error.GetProperty("error").GetProperty("code").GetString()));
        Assert.DoesNotContain("disk", error.GetRawText(), StringComparison.Ordinal);
        Assert.Contains("the disk of documents is full", (await door.Proxy.Log.EventAsync("documents_unusable")).ToString(), StringComparison.Ordinal);
    }
}
