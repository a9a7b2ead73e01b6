using System.Globalization;
using System.IO.Pipelines;
using System.Net.Http.Headers;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Http.Knowledge;

/// <summary>The form of an upload: the file and what is said of it, in any order.</summary>
internal sealed class UploadForm : IAsyncDisposable
{
    /// <summary>What a form may hold beside its file.</summary>
    private const int FormOverhead = 1 << 20;

    private const int LongestField = 4096, LongestPurpose = 64;

    /// <summary>OpenAI's range of <c>expires_after.seconds</c>: an hour to 30 days.</summary>
    private const int LeastSeconds = 3600, MostSeconds = 2592000;

    private readonly long fileLimit;
    private readonly UploadSpool spool;
    private readonly Dictionary<string, string> fields = [];
    private string? fileName;

    private UploadForm(long fileLimit, string? folder) => (this.fileLimit, spool) = (fileLimit, new UploadSpool(folder));

    public string FileName => fileName!;

    public string Purpose => fields["purpose"];

    /// <summary>The file expires so long after its creation; null: never.</summary>
    public TimeSpan? ExpiresAfter { get; private set; }

    /// <summary>The file's content.</summary>
    public Stream Content => spool.Rewind();

    /// <summary>Reads the whole form. The caller disposes it, unless it is null.</summary>
    /// <param name="request">The request.</param>
    /// <param name="fileLimit">The largest file, in bytes.</param>
    /// <param name="folder">Where a large file is kept until all of it has arrived.</param>
    /// <param name="cancellation">Ends the read.</param>
    public static async ValueTask<(UploadForm? Form, ProxyError? Problem)> ReadAsync(
        HttpRequest request, long fileLimit, string? folder, CancellationToken cancellation)
    {
        if (Boundary(request.ContentType) is not { } boundary)
            return (null, new(ProxyErrorKind.UnsupportedMediaType, "an upload is a form: send multipart/form-data with the fields file and purpose"));
        if (request.ContentLength > fileLimit + FormOverhead) return (null, TooLarge(fileLimit));
        var encoding = request.Headers.ContentEncoding.ToString();
        await using var decoded = ContentCoding.IsIdentity(encoding) ? Stream.Null : ContentCoding.Decode(encoding, request.Body);
        if (decoded is null)
        {
            return (null, new(ProxyErrorKind.UnsupportedMediaType,
                $"content-encoding '{ModelName.Shown(encoding)}' is not supported; send gzip, br, zstd or deflate, or no encoding"));
        }

        var form = new UploadForm(fileLimit, folder);
        using var reader = new MultipartReader(decoded == Stream.Null ? request.BodyReader : PipeReader.Create(decoded), boundary,
            fileLimit + FormOverhead);
        ProxyError? problem;
        try
        {
            problem = await form.ReadAsync(reader, cancellation) ?? form.Check();
        }
        catch (FormException wrong)
        {
            problem = wrong.IsTooLarge ? TooLarge(fileLimit) : new(ProxyErrorKind.InvalidRequest, wrong.Message);
        }
        catch (Exception failed)
        {
            await form.DisposeAsync();
            if (RequestBody.WrongBytes(failed) is { } wrong) return (null, wrong);
            if (decoded != Stream.Null && ContentCoding.IsBroken(failed))
                return (null, new(ProxyErrorKind.InvalidRequest, $"the body is not valid {encoding}, as its content-encoding says"));
            throw;
        }

        if (problem is null) return (form, null);
        await form.DisposeAsync();
        return (null, problem);
    }

    public ValueTask DisposeAsync() => spool.DisposeAsync();

    private async ValueTask<ProxyError?> ReadAsync(MultipartReader reader, CancellationToken cancellation)
    {
        while (await reader.NextAsync(cancellation) is { } part)
        {
            if (part.Name is "file")
            {
                if (fileName is not null) return Wrong("file", "the form has two files; send one in each request");
                fileName = part.FileName ?? "file";
                while (await reader.ReadAsync(cancellation) is { IsEmpty: false } piece)
                {
                    if (spool.Length + piece.Length > fileLimit) return TooLarge(fileLimit);
                    await spool.WriteAsync(piece, cancellation);
                }
            }
            else
            {
                fields[part.Name] = await reader.TextAsync(ModelName.Shown(part.Name), LongestField, cancellation);
            }
        }

        return null;
    }

    private ProxyError? Check()
    {
        if (fileName is null) return Wrong("file", "the form has no file: send it as the field \"file\"");
        if (!fields.TryGetValue("purpose", out var purpose) || purpose.Length == 0)
            return Wrong("purpose", "the form has no purpose: send a field \"purpose\", for example with the value assistants");
        return purpose.Length > LongestPurpose ? Wrong("purpose", $"purpose is longer than {LongestPurpose} characters") : ReadExpiry();
    }

    /// <summary>SDKs send <c>expires_after[anchor]</c> and <c>expires_after[seconds]</c>; people send JSON.</summary>
    private ProxyError? ReadExpiry()
    {
        var anchor = fields.GetValueOrDefault("expires_after[anchor]");
        var seconds = fields.GetValueOrDefault("expires_after[seconds]");
        if (fields.TryGetValue("expires_after", out var json) && json.Length > 0)
        {
            try
            {
                using var document = JsonDocument.Parse(json);
                anchor = document.RootElement.GetProperty("anchor").GetString();
                seconds = document.RootElement.GetProperty("seconds").GetRawText();
            }
            catch (Exception problem) when (problem is JsonException or InvalidOperationException or KeyNotFoundException)
            {
                return Wrong("expires_after", "expires_after must be an object with \"anchor\" and \"seconds\"");
            }
        }

        if (anchor is null && seconds is null) return null;
        if (anchor is not "created_at") return Wrong("expires_after.anchor", "expires_after.anchor must be \"created_at\"");
        if (!int.TryParse(seconds, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number is < LeastSeconds or > MostSeconds)
            return Wrong("expires_after.seconds", $"expires_after.seconds must be a number of {LeastSeconds} to {MostSeconds}");
        ExpiresAfter = TimeSpan.FromSeconds(number);
        return null;
    }

    private static string? Boundary(string? contentType)
    {
        if (!MediaTypeHeaderValue.TryParse(contentType, out var type) || !"multipart/form-data".Equals(type.MediaType, StringComparison.OrdinalIgnoreCase))
            return null;
        var boundary = type.Parameters.FirstOrDefault(static p => p.Name.Equals("boundary", StringComparison.OrdinalIgnoreCase))?.Value?.Trim('"');
        return boundary is { Length: > 0 and <= 70 } && System.Text.Ascii.IsValid(boundary) ? boundary : null;
    }

    private static ProxyError Wrong(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };

    private static ProxyError TooLarge(long limit) => new(ProxyErrorKind.BodyTooLarge,
        limit % 1_000_000 == 0
            ? $"the file is larger than {limit / 1_000_000} MB, the limit here ([knowledge] file_limit)"
            : $"the file is larger than {limit} bytes, the limit here ([knowledge] file_limit)") { Param = "file" };
}
