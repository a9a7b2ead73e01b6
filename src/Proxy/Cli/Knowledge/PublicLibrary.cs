using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Proxy.Cli.Knowledge;

/// <summary>
/// The workspaces that an API key may use, over the public API of a proxy: <c>/v1/files</c> and <c>/v1/vector_stores</c>. The API has no place for where a file
/// came from, so that is kept in the attributes <c>path</c> and <c>sha256</c>.
/// </summary>
internal sealed class PublicLibrary : Library
{
    private const string PathAttribute = "path", DigestAttribute = "sha256";

    /// <summary>The longest value of an attribute, in characters.</summary>
    private const int LongestAttribute = 512;

    private const int PageSize = 100;

    /// <summary>How often a request is sent that is refused for a while: keys may have a limit of calls a minute.</summary>
    private const int MostTries = 30;
    private const string Uploads = "v1/files";

    private readonly HttpClient http;

    /// <summary>Throws <see cref="LibraryException"/> if the address is not one.</summary>
    public PublicLibrary(string url, string? key)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            throw new LibraryException(ExitCode.Usage, "--url takes the address of a proxy, such as http://box.lan:11435");
        var text = address.GetLeftPart(UriPartial.Path).TrimEnd('/');
        if (text.EndsWith("/v1", StringComparison.Ordinal)) text = text[..^3];
        Place = text;
        http = new(new SocketsHttpHandler()) { BaseAddress = new Uri(text + "/"), Timeout = Timeout.InfiniteTimeSpan };
        if (key is not null) http.DefaultRequestHeaders.Authorization = new("Bearer", key);
    }

    public override string Place { get; }

    public override async Task<IReadOnlyList<WorkspaceRow>> ListAsync(CancellationToken cancellation)
    {
        var rows = new List<WorkspaceRow>();
        await foreach (var store in PagesAsync("v1/vector_stores", cancellation).ConfigureAwait(false)) rows.Add(Row(store));
        return rows;
    }

    public override async Task<WorkspaceRow> FindAsync(string workspace, CancellationToken cancellation) =>
        Row(await GetAsync($"v1/vector_stores/{Escaped(workspace)}", cancellation).ConfigureAwait(false));

    public override async Task<WorkspaceAnswer> EnsureAsync(string workspace, CancellationToken cancellation)
    {
        if (await TryAsync(HttpMethod.Get, $"v1/vector_stores/{Escaped(workspace)}", null, cancellation).ConfigureAwait(false) is { } found)
            return new(Row(found));
        if (workspace.StartsWith("vs_", StringComparison.Ordinal)) throw new LibraryException($"there is no workspace '{SafeText.Of(workspace)}'");
        var made = await PostAsync("v1/vector_stores", json => json.WriteString("name", workspace), cancellation).ConfigureAwait(false);
        return new(Row(made)) { IsNew = true };
    }

    public override async Task<IReadOnlyList<KnownFile>> FilesAsync(WorkspaceRow workspace, CancellationToken cancellation)
    {
        var files = new List<KnownFile>();
        await foreach (var file in PagesAsync($"v1/vector_stores/{workspace.Id}/files", cancellation).ConfigureAwait(false))
        {
            if (!file.TryGetProperty("attributes", out var attributes) || attributes.ValueKind is not JsonValueKind.Object) continue;
            if (Text(attributes, PathAttribute) is not { } path || Text(attributes, DigestAttribute) is not { } digest) continue;
            var status = Text(file, "status") ?? "";
            if (status is "cancelled") continue;
            var error = file.TryGetProperty("last_error", out var last) && last.ValueKind is JsonValueKind.Object ? last : default;
            files.Add(new(path, Text(file, "id") ?? "", Text(file, "filename") ?? "", digest, status, Without(attributes))
            {
                Code = Text(error, "code"), Error = Text(error, "message"),
            });
        }

        return files;
    }

    public override async Task<string> AddAsync(WorkspaceRow workspace, OutgoingFile file, Stream content, CancellationToken cancellation)
    {
        var sent = await SendAsync(() => Upload(file, content), cancellation).ConfigureAwait(false);
        if (sent is not { } stored || Text(stored, "id") is not { } id) throw Unreadable("v1/files");
        await PostAsync($"v1/vector_stores/{workspace.Id}/files", json =>
        {
            json.WriteString("file_id", id);
            WriteAttributes(json, file.Path, file.Sha256, file.Attributes);
        }, cancellation).ConfigureAwait(false);
        return id;
    }

    public override Task LabelAsync(WorkspaceRow workspace, KnownFile file, JsonElement attributes, CancellationToken cancellation) =>
        PostAsync($"v1/vector_stores/{workspace.Id}/files/{file.FileId}", json => WriteAttributes(json, file.Path, file.Sha256, attributes), cancellation);

    public override async Task RemoveAsync(WorkspaceRow workspace, string fileId, CancellationToken cancellation)
    {
        await TryAsync(HttpMethod.Delete, $"v1/vector_stores/{workspace.Id}/files/{fileId}", null, cancellation).ConfigureAwait(false);
        await TryAsync(HttpMethod.Delete, $"v1/files/{fileId}", null, cancellation).ConfigureAwait(false);
    }

    /// <summary>Others may have files that no workspace has on purpose.</summary>
    public override Task SweepAsync(CancellationToken cancellation) => Task.CompletedTask;

    public override async Task<SearchAnswer> SearchAsync(IReadOnlyList<string> workspaces, SearchQuery query, CancellationToken cancellation)
    {
        if (query.Trace) throw new LibraryException(ExitCode.Usage, "--trace needs the admin socket: run the command on the proxy's own machine, without --url");
        if (workspaces.Count > 1) throw new LibraryException(ExitCode.Usage, "with --url one workspace can be searched at a time");
        var answer = await PostAsync($"v1/vector_stores/{Escaped(workspaces[0])}/search", json =>
        {
            json.WriteString("query", query.Text);
            json.WriteNumber("max_num_results", query.Most);
            if (query.Rerank is { } rerank)
            {
                json.WriteStartObject("ranking_options");
                json.WriteString("ranker", rerank ? "auto" : "none");
                json.WriteEndObject();
            }

            if (query.Filter is not { } filter) return;
            json.WritePropertyName("filters");
            filter.WriteTo(json);
        }, cancellation).ConfigureAwait(false);
        return new([.. answer.GetProperty("data").EnumerateArray().Select(hit => Hit(hit, workspaces[0]))]);
    }

    public override async Task DeleteAsync(WorkspaceRow workspace, CancellationToken cancellation)
    {
        var files = await FilesAsync(workspace, cancellation).ConfigureAwait(false);
        await TryAsync(HttpMethod.Delete, $"v1/vector_stores/{workspace.Id}", null, cancellation).ConfigureAwait(false);
        foreach (var file in files) await TryAsync(HttpMethod.Delete, $"v1/files/{file.FileId}", null, cancellation).ConfigureAwait(false);
    }

    public override Task<WorkspaceRow> ReembedAsync(WorkspaceRow workspace, CancellationToken cancellation) =>
        throw new LibraryException(ExitCode.Usage, "reembed needs the admin socket: run it on the proxy's own machine, without --url");

    public override Task<IReadOnlyList<BackupFile>> BackupAsync(string folder, CancellationToken cancellation) =>
        throw new LibraryException(ExitCode.Usage, "backup needs the admin socket: run it on the proxy's own machine, without --url");

    public override ValueTask DisposeAsync()
    {
        http.Dispose();
        return base.DisposeAsync();
    }

    private static HttpRequestMessage Upload(OutgoingFile file, Stream content)
    {
        content.Position = 0; // a request that was refused for a while is sent again
        var part = new Part(content);
        // Written by hand, because .NET encodes a name in two ways, and not every server reads either.
        part.Headers.TryAddWithoutValidation("Content-Disposition", $"form-data; name=\"file\"; filename=\"{Quotable(file.Name)}\"");
        var form = new MultipartFormDataContent { HeaderEncodingSelector = static (_, _) => Encoding.UTF8 };
        form.Add(new StringContent("assistants"), "purpose");
        form.Add(part);
        return new(HttpMethod.Post, Uploads) { Content = form };
    }

    private static WorkspaceRow Row(JsonElement store)
    {
        var counts = store.GetProperty("file_counts");
        return new(Text(store, "id") ?? "", Text(store, "name") ?? "")
        {
            CreatedAt = store.TryGetProperty("created_at", out var created) ? created.GetInt64() : 0,
            Bytes = store.TryGetProperty("usage_bytes", out var bytes) ? bytes.GetInt64() : 0,
            Files = new(Count("in_progress"), Count("completed"), Count("failed"), Count("cancelled")),
        };

        int Count(string state) => counts.TryGetProperty(state, out var number) ? number.GetInt32() : 0;
    }

    private static SearchRow Hit(JsonElement hit, string workspace)
    {
        var attributes = hit.TryGetProperty("attributes", out var found) && found.ValueKind is JsonValueKind.Object ? found : default;
        var text = string.Join('\n', hit.GetProperty("content").EnumerateArray().Select(static part => Text(part, "text")));
        return new(Text(hit, "filename") ?? "", hit.GetProperty("score").GetDouble(), text)
        {
            Workspace = workspace, FileId = Text(hit, "file_id"), Path = Text(attributes, PathAttribute), Heading = Text(hit, "heading"),
            Page = hit.TryGetProperty("page", out var page) && page.ValueKind is JsonValueKind.Number ? page.GetInt32() : null,
            Attributes = attributes.ValueKind is JsonValueKind.Object ? attributes : null,
        };
    }

    private static void WriteAttributes(Utf8JsonWriter json, string path, string digest, JsonElement attributes)
    {
        json.WriteStartObject("attributes");
        // The end of a path tells more files apart than its beginning.
        json.WriteString(PathAttribute, Shortened(path));
        json.WriteString(DigestAttribute, digest);
        foreach (var attribute in attributes.EnumerateObject())
        {
            if (attribute.Name is not (PathAttribute or DigestAttribute)) attribute.WriteTo(json);
        }

        json.WriteEndObject();
    }

    /// <summary>A path as it is kept in an attribute.</summary>
    internal static string Shortened(string path) => path.Length <= LongestAttribute ? path : "…" + path[^(LongestAttribute - 1)..];

    public override string KnownAs(string path) => Shortened(path);

    private static JsonElement Without(JsonElement attributes)
    {
        var rest = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(rest))
        {
            json.WriteStartObject();
            foreach (var attribute in attributes.EnumerateObject())
            {
                if (attribute.Name is not (PathAttribute or DigestAttribute)) attribute.WriteTo(json);
            }

            json.WriteEndObject();
        }

        return JsonElement.Parse(rest.WrittenSpan);
    }

    private async IAsyncEnumerable<JsonElement> PagesAsync(
        string path, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        for (var after = ""; ;)
        {
            var page = await GetAsync($"{path}?limit={PageSize}{after}", cancellation).ConfigureAwait(false);
            foreach (var item in page.GetProperty("data").EnumerateArray()) yield return item;
            if (!page.TryGetProperty("has_more", out var more) || !more.GetBoolean() || Text(page, "last_id") is not { } last) yield break;
            after = "&after=" + Escaped(last);
        }
    }

    private async Task<JsonElement> GetAsync(string path, CancellationToken cancellation) =>
        await TryAsync(HttpMethod.Get, path, null, cancellation).ConfigureAwait(false) ?? throw new LibraryException($"{Place} has nothing at /{path}");

    private async Task<JsonElement> PostAsync(string path, Action<Utf8JsonWriter> write, CancellationToken cancellation)
    {
        var body = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(body))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return await TryAsync(HttpMethod.Post, path, body.WrittenMemory, cancellation).ConfigureAwait(false)
            ?? throw new LibraryException($"{Place} has nothing at /{path}");
    }

    /// <summary>Null: 404.</summary>
    private Task<JsonElement?> TryAsync(HttpMethod method, string path, ReadOnlyMemory<byte>? body, CancellationToken cancellation) => SendAsync(() =>
    {
        var request = new HttpRequestMessage(method, path);
        if (body is not { } bytes) return request;
        request.Content = new ReadOnlyMemoryContent(bytes);
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return request;
    }, cancellation);

    private async Task<JsonElement?> SendAsync(Func<HttpRequestMessage> make, CancellationToken cancellation)
    {
        for (var tries = 1; ; tries++)
        {
            using var request = make();
            var path = request.RequestUri!.OriginalString; // the client makes it a whole address
            try
            {
                using var response = await http.SendAsync(request, cancellation).ConfigureAwait(false);
                var body = await response.Content.ReadAsByteArrayAsync(cancellation).ConfigureAwait(false);
                if (response.IsSuccessStatusCode) return JsonElement.Parse(body);
                if (response.StatusCode is HttpStatusCode.NotFound && request.Method != HttpMethod.Post) return null;
                if (response.StatusCode is not (HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable) || tries >= MostTries)
                    throw Refusal(response, body, path is Uploads);
                await Task.Delay(response.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(1), cancellation).ConfigureAwait(false);
            }
            catch (JsonException)
            {
                throw Unreadable(path);
            }
            catch (HttpRequestException e)
            {
                throw new LibraryException($"{Place} cannot be reached: {(e.InnerException ?? e).Message}");
            }
        }
    }

    private LibraryException Refusal(HttpResponseMessage response, byte[] body, bool isUpload)
    {
        var error = JsonElement.Parse(body) is { ValueKind: JsonValueKind.Object } answer && answer.TryGetProperty("error", out var member) ? member : default;
        var message = Text(error, "message") ?? $"{Place} answers {(int)response.StatusCode}";
        if (response.StatusCode is HttpStatusCode.Unauthorized) message += " (the key is taken from PROXY_KEY)";
        return new(message) { IsOfFile = isUpload && response.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge };
    }

    private LibraryException Unreadable(string path) => new($"the answer of {Place} at /{path} cannot be read; is it a proxy of this version?");

    private static string? Text(JsonElement of, string member) =>
        of.ValueKind is JsonValueKind.Object && of.TryGetProperty(member, out var value) && value.ValueKind is JsonValueKind.String ? value.GetString() : null;

    /// <summary>A name that can stand between quotes in a header.</summary>
    private static string Quotable(string name) => string.Concat(name.Select(static c => c is '"' or '\\' || char.IsControl(c) ? '_' : c));

    private static string Escaped(string text) => Uri.EscapeDataString(text);

    /// <summary>A stream that is left open, so that it can be sent again.</summary>
    private sealed class Part(Stream content) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => content.CopyToAsync(stream);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken) =>
            content.CopyToAsync(stream, cancellationToken);

        protected override bool TryComputeLength(out long length)
        {
            length = 0; // a file may grow while it is sent
            return false;
        }
    }
}
