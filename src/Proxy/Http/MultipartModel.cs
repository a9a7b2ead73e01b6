using System.Net.Http.Headers;
using System.Text;

namespace Proxy.Http;

/// <summary>
/// Finds the <c>model</c> field of a <c>multipart/form-data</c> body (RFC 7578), wherever it stands; often it comes after the file. Strict: if two parsers
/// could read a form differently, no model is found, because we decide who may use a model and the host decides which one runs.
/// </summary>
internal static class MultipartModel
{
    /// <summary>The field's value and its position; null if the body has no such field, or more than one.</summary>
    public static (string Model, Range Slice)? Find(ReadOnlySpan<byte> body, string contentType)
    {
        if (Boundary(contentType) is not { } boundary) return null;
        var delimiter = Encoding.ASCII.GetBytes("\r\n--" + boundary);
        (string, Range)? found = null;

        // The first delimiter may be the beginning of the body; every other one is at the beginning of a line. In the middle of a line it is content.
        var at = body.StartsWith(delimiter.AsSpan(2)) ? delimiter.Length - 2 : After(body, 0, delimiter);
        // Some parsers take a delimiter in the middle of a line before the first one for the first.
        if (at < 0 || body[..Math.Max(at - delimiter.Length, 0)].IndexOf(delimiter.AsSpan(2)) >= 0) return null;
        while (at >= 0 && !body[at..].StartsWith("--"u8))
        {
            if (body[at..].IndexOf("\r\n"u8) is not (var lineEnd and >= 0) || !body.Slice(at, lineEnd).Trim(" \t"u8).IsEmpty) return null;
            var headers = at + lineEnd + 2;
            if (body[headers..].IndexOf("\r\n\r\n"u8) is not (var headersEnd and >= 0)) return null;
            var content = headers + headersEnd + 4;
            var next = After(body, content, delimiter);
            if (next < 0 || body[content..].StartsWith(delimiter.AsSpan(2))) return null;
            if (Name(body.Slice(headers, headersEnd), out var isFile) is not { } name) return null;
            if (name == "model")
            {
                // Some hosts accept a file of this name as the field, and some use the first of two fields.
                if (isFile || found is not null) return null;
                var value = content..(next - delimiter.Length);
                found = (Encoding.UTF8.GetString(body[value]), value);
            }

            at = next;
        }

        // After the last delimiter comes nothing that another parser could take for a part: not all of them stop there.
        return at < 0 || !IsEnd(body[(at + 2)..], delimiter) ? null : found;
    }

    private static bool IsEnd(ReadOnlySpan<byte> rest, ReadOnlySpan<byte> delimiter) =>
        rest.IndexOf(delimiter) < 0 && (rest.TrimStart(" \t"u8) is var line && (line.IsEmpty || line.StartsWith("\r\n"u8)));

    private static int After(ReadOnlySpan<byte> body, int from, ReadOnlySpan<byte> delimiter) =>
        body[from..].IndexOf(delimiter) is var at and >= 0 ? from + at + delimiter.Length : -1;

    /// <summary>The field's name; null if the part has no name, several names, or one that parsers may read differently.</summary>
    private static string? Name(ReadOnlySpan<byte> headers, out bool isFile)
    {
        isFile = false;
        string? name = null;
        foreach (var line in Encoding.UTF8.GetString(headers).Split("\r\n"))
        {
            if (!line.StartsWith("content-disposition:", StringComparison.OrdinalIgnoreCase)) continue;
            if (name is not null || !ContentDispositionHeaderValue.TryParse(line["content-disposition:".Length..], out var disposition)) return null;
            if (disposition.Parameters.Count(static p => p.Name.StartsWith("name", StringComparison.OrdinalIgnoreCase)) != 1) return null;
            if (disposition.Name is not { } said || said.Contains('\\', StringComparison.Ordinal)) return null;
            name = said.Trim('"');
            isFile = disposition.Parameters.Any(static p => p.Name.StartsWith("filename", StringComparison.OrdinalIgnoreCase));
        }

        return name;
    }

    private static string? Boundary(string contentType)
    {
        if (!MediaTypeHeaderValue.TryParse(contentType, out var type) || !"multipart/form-data".Equals(type.MediaType, StringComparison.OrdinalIgnoreCase))
            return null;
        var all = type.Parameters.Where(static p => p.Name.StartsWith("boundary", StringComparison.OrdinalIgnoreCase)).ToArray();
        return all is [{ Value: { } value }] && value.Trim('"') is { Length: > 0 and <= 70 } boundary ? boundary : null;
    }
}
