using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;

namespace Proxy.Http.Knowledge;

/// <summary>A part of a form: its name, and its file's name if it is a file.</summary>
internal sealed record FormPart(string Name, string? FileName);

/// <summary>The form is not what RFC 7578 describes. The message is for the client.</summary>
internal sealed class FormException(string message, bool isTooLarge = false) : Exception(message)
{
    /// <summary>The body is longer than the form may be.</summary>
    public bool IsTooLarge => isTooLarge;
}

/// <summary>
/// Reads a <c>multipart/form-data</c> body (RFC 7578) part by part, while it arrives: it holds only one buffer, however large the parts are.
/// </summary>
/// <param name="body">The body.</param>
/// <param name="boundary">The boundary that the content type names.</param>
/// <param name="most">The bytes that the body may have.</param>
internal sealed class MultipartReader(PipeReader body, string boundary, long most) : IDisposable
{
    private const int BufferSize = 64 << 10, LongestHead = 16 << 10, MostParts = 64;

    /// <summary>Every delimiter is at the beginning of a line. The buffer begins with a line break for the first one, which the body may begin with.</summary>
    private readonly byte[] delimiter = Encoding.ASCII.GetBytes("\r\n--" + boundary);
    private readonly byte[] buffer = Filled();
    private int start;
    private int end = 2;
    private int parts;
    private long read;
    private bool isOver;
    private bool isInPart = true; // before the first delimiter: the preamble, which is skipped

    /// <summary>The next part; null after the last one. Skips what was not read of the part before.</summary>
    public async ValueTask<FormPart?> NextAsync(CancellationToken cancellation)
    {
        while (!(await ReadAsync(cancellation)).IsEmpty)
        {
            // Skipped.
        }

        if (await LineAsync(LongestHead, cancellation) is not { } rest) throw Unended();
        if (rest.StartsWith("--", StringComparison.Ordinal))
        {
            while (await FillAsync(cancellation)) start = end; // what follows the last delimiter has no meaning
            return null;
        }

        if (!string.IsNullOrWhiteSpace(rest)) throw new FormException("the form's boundary is followed by other text");
        if (++parts > MostParts) throw new FormException($"the form has more than {MostParts} parts");
        isInPart = true;
        return await HeadAsync(cancellation);
    }

    /// <summary>The next bytes of the part's content; empty at its end. They are valid until the next call.</summary>
    public async ValueTask<ReadOnlyMemory<byte>> ReadAsync(CancellationToken cancellation)
    {
        if (!isInPart) return default;
        while (true)
        {
            var at = buffer.AsSpan(start, end - start).IndexOf(delimiter);
            if (at == 0)
            {
                start += delimiter.Length;
                isInPart = false;
                return default;
            }

            // The last bytes may be the beginning of a delimiter.
            var safe = at > 0 ? at : end - start - (delimiter.Length - 1);
            if (safe > 0)
            {
                var piece = buffer.AsMemory(start, safe);
                start += safe;
                return piece;
            }

            if (!await FillAsync(cancellation)) throw Unended();
        }
    }

    /// <summary>The whole content of a part that is a short text.</summary>
    public async ValueTask<string> TextAsync(string name, int longest, CancellationToken cancellation)
    {
        var text = new ArrayBufferWriter<byte>();
        while (await ReadAsync(cancellation) is { IsEmpty: false } piece)
        {
            text.Write(piece.Span);
            if (text.WrittenCount > longest) throw new FormException($"{name} is longer than {longest} bytes");
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    public void Dispose() => ArrayPool<byte>.Shared.Return(buffer);

    private async ValueTask<FormPart> HeadAsync(CancellationToken cancellation)
    {
        FormPart? part = null;
        var left = LongestHead;
        while (await LineAsync(left, cancellation) is { } line)
        {
            if (line.Length == 0) return part ?? throw new FormException("a part of the form has no name");
            left -= line.Length;
            const string Disposition = "content-disposition:";
            if (!line.StartsWith(Disposition, StringComparison.OrdinalIgnoreCase)) continue;
            if (part is not null) throw new FormException("a part of the form has two names");
            part = PartOf(line[Disposition.Length..]);
        }

        throw Unended();
    }

    /// <summary>The text up to the next line break, which is consumed; null if the body ends before.</summary>
    private async ValueTask<string?> LineAsync(int longest, CancellationToken cancellation)
    {
        while (true)
        {
            var at = buffer.AsSpan(start, end - start).IndexOf("\r\n"u8);
            if ((at < 0 ? end - start : at) > longest) throw new FormException("the head of a part of the form is too long");
            if (at >= 0)
            {
                var line = Encoding.UTF8.GetString(buffer.AsSpan(start, at));
                start += at + 2;
                return line;
            }

            if (await FillAsync(cancellation)) continue;
            // Some clients leave out the line break after the last delimiter.
            if (!buffer.AsSpan(start, end - start).SequenceEqual("--"u8)) return null;
            start = end;
            return "--";
        }
    }

    /// <summary>Reads more into the buffer. False at the end of the body. There is always room, because nothing keeps more than a head in the buffer.</summary>
    private async ValueTask<bool> FillAsync(CancellationToken cancellation)
    {
        if (isOver) return false;
        if (start > 0)
        {
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            (start, end) = (0, end - start);
        }

        while (true)
        {
            var got = await body.ReadAsync(cancellation);
            var bytes = got.Buffer.Length > buffer.Length - end ? got.Buffer.Slice(0, buffer.Length - end) : got.Buffer;
            bytes.CopyTo(buffer.AsSpan(end));
            var length = (int)bytes.Length;
            isOver = got.IsCompleted && length == got.Buffer.Length;
            body.AdvanceTo(bytes.End);
            end += length;
            read += length;
            if (read > most) throw new FormException("the form is too large", isTooLarge: true);
            if (length > 0) return true;
            if (isOver) return false;
        }
    }

    private static byte[] Filled()
    {
        var rented = ArrayPool<byte>.Shared.Rent(BufferSize);
        "\r\n"u8.CopyTo(rented);
        return rented;
    }

    private static FormException Unended() => new("the form ends before its last boundary");

    /// <summary>
    /// Reads <c>form-data; name="file"; filename="a b.txt"; filename*=UTF-8''a%20b.txt</c>. A backslash escapes only a quote and itself before a quote, because
    /// old browsers send the backslashes of a path as they are.
    /// </summary>
    private static FormPart PartOf(string disposition)
    {
        string? name = null, file = null, extended = null;
        foreach (var (key, value) in Parameters(disposition))
        {
            if (key.Equals("name", StringComparison.OrdinalIgnoreCase))
                name = name is null ? value : throw new FormException("a part of the form has two names");
            else if (key.Equals("filename", StringComparison.OrdinalIgnoreCase)) file ??= value;
            else if (key.Equals("filename*", StringComparison.OrdinalIgnoreCase)) extended ??= Extended(value);
        }

        return new(name ?? throw new FormException("a part of the form has no name"), extended ?? file);
    }

    private static IEnumerable<(string Key, string Value)> Parameters(string disposition)
    {
        var at = disposition.IndexOf(';', StringComparison.Ordinal);
        while (at >= 0 && at + 1 < disposition.Length)
        {
            at++;
            var equals = disposition.IndexOf('=', at);
            if (equals < 0) yield break;
            var key = disposition[at..equals].Trim();
            at = equals + 1;
            while (at < disposition.Length && disposition[at] == ' ') at++;
            if (at < disposition.Length && disposition[at] == '"')
            {
                yield return (key, Quoted(disposition, ref at));
                at = disposition.IndexOf(';', at);
            }
            else
            {
                var semicolon = disposition.IndexOf(';', at);
                yield return (key, (semicolon < 0 ? disposition[at..] : disposition[at..semicolon]).Trim());
                at = semicolon;
            }
        }
    }

    /// <summary>A text in quotes; afterwards <paramref name="at"/> is behind it. Browsers write a quote as %22.</summary>
    private static string Quoted(string text, ref int at)
    {
        var value = new StringBuilder();
        for (at++; at < text.Length && text[at] != '"'; at++)
        {
            if (text[at] == '\\' && at + 1 < text.Length && text[at + 1] == '"' && text.IndexOf('"', at + 2) >= 0) at++;
            value.Append(text[at]);
        }

        at = Math.Min(at + 1, text.Length);
        return value.ToString().Replace("%22", "\"", StringComparison.Ordinal);
    }

    /// <summary>RFC 8187: <c>UTF-8''a%20b.txt</c>. Null if it is in another encoding.</summary>
    private static string? Extended(string value)
    {
        value = value.Trim('"');
        var language = value.IndexOf('\'', StringComparison.Ordinal);
        var text = language < 0 ? -1 : value.IndexOf('\'', language + 1);
        return text >= 0 && value.StartsWith("utf-8", true, CultureInfo.InvariantCulture) ? Uri.UnescapeDataString(value[(text + 1)..]) : null;
    }
}
