using System.Collections.Frozen;
using System.IO.Compression;
using System.Security.Cryptography;

namespace Proxy.Http.Console;

/// <summary>A file of the console: plain and compressed.</summary>
internal sealed record ConsoleFile(string ContentType, byte[] Plain, byte[] Packed, string Tag);

/// <summary>
/// The files of the console, which are part of the program: a page, its styles, its icon and its scripts. They are read when the console is first opened.
/// </summary>
internal sealed class ConsoleFiles
{
    public const string Page = "console.html";

    /// <summary>What their names begin with among the program's resources.</summary>
    private const string Prefix = "console/";

    /// <summary>
    /// What the browser lets the pages do: run the program's own scripts, apply its own styles, and call this proxy. Nothing from elsewhere, nothing inline, no
    /// frame around them, and no text that is made markup.
    /// </summary>
    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

    private readonly Lazy<FrozenDictionary<string, ConsoleFile>> files = new(Read);

    /// <summary>Sends a file, or 304 if the browser has it already. False: there is none of that name, and nothing was sent.</summary>
    public async ValueTask<bool> TrySendAsync(HttpContext context, string name)
    {
        if (!files.Value.TryGetValue(name, out var file)) return false;
        Protect(context.Response);
        var response = context.Response.Headers;
        var headers = context.Request.Headers;
        response.CacheControl = "no-cache"; // the browser asks each time whether there is a new version
        response.ETag = file.Tag;
        response.Vary = "accept-encoding";
        if (headers.TryGetValue("if-none-match", out var known) && known.ToString().Contains(file.Tag, StringComparison.Ordinal))
        {
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return true;
        }

        var isPacked = headers.TryGetValue("accept-encoding", out var accepted) && accepted.ToString().Contains("br", StringComparison.Ordinal);
        if (isPacked) response["content-encoding"] = "br";
        context.Response.ContentType = file.ContentType;
        var bytes = isPacked ? file.Packed : file.Plain;
        context.Response.ContentLength = bytes.Length;
        if (!HttpMethods.IsHead(context.Request.Method)) await context.Response.BodyWriter.WriteAsync(bytes);
        return true;
    }

    /// <summary>Sets the headers that keep a browser from anything but showing these pages.</summary>
    public static void Protect(HttpResponse to)
    {
        var response = to.Headers;
        response["content-security-policy"] = Policy;
        response["x-content-type-options"] = "nosniff";
        response["x-frame-options"] = "DENY"; // for browsers that do not know frame-ancestors
        response["referrer-policy"] = "no-referrer";
        response["cross-origin-opener-policy"] = "same-origin";
        response["cross-origin-resource-policy"] = "same-origin";
    }

    private static FrozenDictionary<string, ConsoleFile> Read()
    {
        var program = typeof(ConsoleFiles).Assembly;
        var found = new Dictionary<string, ConsoleFile>();
        foreach (var resource in program.GetManifestResourceNames())
        {
            if (!resource.StartsWith(Prefix, StringComparison.Ordinal)) continue;
            using var stream = program.GetManifestResourceStream(resource)!;
            var plain = new byte[stream.Length];
            stream.ReadExactly(plain);
            using var packed = new MemoryStream();
            using (var brotli = new BrotliStream(packed, CompressionLevel.Optimal, leaveOpen: true)) brotli.Write(plain);
            var tag = $"\"{Convert.ToHexStringLower(SHA256.HashData(plain).AsSpan(0, 12))}\"";
            found[resource[Prefix.Length..]] = new(TypeOf(resource), plain, packed.ToArray(), tag);
        }

        return found.ToFrozenDictionary();
    }

    private static string TypeOf(string name) => Path.GetExtension(name) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        ".svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
}
