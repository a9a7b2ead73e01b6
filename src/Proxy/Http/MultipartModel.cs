using System.Text;

namespace Proxy.Http;

/// <summary>Finds the <c>model</c> field of a <c>multipart/form-data</c> body (RFC 7578), wherever it stands: after the file, as often as not.</summary>
internal static class MultipartModel
{
    /// <summary>The field's value and its place; null when the body has none, or more than one.</summary>
    public static (string Model, Range Slice)? Find(ReadOnlySpan<byte> body, string contentType)
    {
        if (Boundary(contentType) is not { } boundary) return null;
        var delimiter = Encoding.ASCII.GetBytes("--" + boundary);
        (string, Range)? found = null;
        var at = body.IndexOf(delimiter);
        while (at >= 0)
        {
            at += delimiter.Length;
            var headersEnd = body[at..].IndexOf("\r\n\r\n"u8);
            if (headersEnd < 0) break;
            var headers = body.Slice(at, headersEnd);
            var start = at + headersEnd + 4;
            var next = body[start..].IndexOf(delimiter);
            if (next < 0) break;
            if (IsModel(headers))
            {
                if (found is not null) return null;
                var end = start + next;
                if (end >= start + 2 && body[end - 2] == '\r' && body[end - 1] == '\n') end -= 2;
                found = (Encoding.UTF8.GetString(body[start..end]), start..end);
            }

            at = start + next;
        }

        return found;
    }

    private static bool IsModel(ReadOnlySpan<byte> headers)
        => headers.IndexOf(" name=\"model\""u8) >= 0 || headers.IndexOf(";name=\"model\""u8) >= 0 || headers.IndexOf(" name=model"u8) >= 0;

    private static string? Boundary(string contentType)
    {
        if (!contentType.StartsWith("multipart/form-data", StringComparison.OrdinalIgnoreCase)) return null;
        var at = contentType.IndexOf("boundary=", StringComparison.OrdinalIgnoreCase);
        if (at < 0) return null;
        var value = contentType[(at + 9)..].Split(';')[0].Trim().Trim('"');
        return value.Length is > 0 and <= 70 ? value : null;
    }
}
