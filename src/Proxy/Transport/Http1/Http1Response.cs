using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using Proxy.Buffers;
using Proxy.Transport.Loops;

namespace Proxy.Transport.Http1;

/// <summary>The response to a plain request.</summary>
internal sealed class Http1Response : HttpResponse
{
    private readonly Http1Context context;
    private readonly HttpDate date;
    private readonly HeaderFields headers = new();
    private readonly ResponseWriter body;
    private int status = StatusCodes.Status200OK;
    private bool hasStarted;

    public Http1Response(Http1Context context, LoopWriter connection, HttpDate date)
    {
        this.context = context;
        this.date = date;
        body = new(this, connection);
    }

    public override HttpContext HttpContext => context;
    public override IHeaderDictionary Headers => headers;
    public override bool HasStarted => hasStarted;
    public override PipeWriter BodyWriter => body;
    public override IResponseCookies Cookies => throw new NotSupportedException();

    public override int StatusCode
    {
        get => status;
        set => status = hasStarted ? throw new InvalidOperationException("the response has begun") : value;
    }

    public override long? ContentLength
    {
        get => headers.ContentLength;
        set => headers.ContentLength = value;
    }

    public override string? ContentType
    {
        get => headers[HeaderNames.ContentType];
        set => headers[HeaderNames.ContentType] = value;
    }

    public override Stream Body
    {
        get => body.AsStream(leaveOpen: true);
        set => throw new NotSupportedException();
    }

    /// <summary>The connection is closed after this response.</summary>
    public bool Closes { get; set; }

    public ResponseWriter Writer => body;

    /// <summary>Neither a status nor any byte of a body has been set.</summary>
    public bool IsUntouched => !hasStarted && status == StatusCodes.Status200OK && headers.ContentLength is null && body.UnflushedBytes == 0;

    public override Task StartAsync(CancellationToken cancellationToken = default)
    {
        body.Begin();
        return Task.CompletedTask;
    }

    public override Task CompleteAsync() => throw new NotSupportedException();

    public override void OnStarting(Func<object, Task> callback, object state) => throw new NotSupportedException();

    public override void OnCompleted(Func<object, Task> callback, object state) => throw new NotSupportedException();

    public override void Redirect(string location, bool permanent) => throw new NotSupportedException();

    /// <summary>Resets the object for the next response.</summary>
    public void Reset()
    {
        body.Reset();
        headers.Clear();
        status = StatusCodes.Status200OK;
        hasStarted = false;
    }

    /// <summary>Writes the status line and the header fields.</summary>
    public void WriteHead(IBufferWriter<byte> output, bool chunked)
    {
        hasStarted = true;
        var room = 192;
        foreach (var (name, values) in headers.Fields) room += (name.Length + 4) * values.Count + values.ToString().Length;
        var span = output.GetSpan(room);
        var at = 0;
        if (status == StatusCodes.Status200OK)
        {
            Put("HTTP/1.1 200 OK\r\n"u8, span, ref at);
        }
        else
        {
            Put("HTTP/1.1 "u8, span, ref at);
            Put(status, span, ref at);
            at += Encoding.ASCII.GetBytes($" {ReasonPhrases.GetReasonPhrase(status)}\r\n", span[at..]);
        }

        foreach (var (name, values) in headers.Fields)
        {
            for (var i = 0; i < values.Count; i++)
            {
                Put(name, span, ref at);
                Put(": "u8, span, ref at);
                Put(values[i]!, span, ref at);
                Put("\r\n"u8, span, ref at);
            }
        }

        if (chunked)
        {
            Put("Transfer-Encoding: chunked\r\n"u8, span, ref at);
        }
        else if (status is not (StatusCodes.Status204NoContent or StatusCodes.Status304NotModified))
        {
            Put("Content-Length: "u8, span, ref at);
            Put(headers.ContentLength ?? 0, span, ref at);
            Put("\r\n"u8, span, ref at);
        }

        if (Closes) Put("Connection: close\r\n"u8, span, ref at);
        Put(date.Line, span, ref at);
        Put("\r\n"u8, span, ref at);
        output.Advance(at);
    }

    private static void Put(ReadOnlySpan<byte> bytes, Span<byte> to, ref int at)
    {
        bytes.CopyTo(to[at..]);
        at += bytes.Length;
    }

    private static void Put(string text, Span<byte> to, ref int at)
    {
        if (!AsciiText.TryCopy(text, to[at..])) Encoding.ASCII.GetBytes(text, to[at..]); // it has a tab: other characters were rejected at Set
        at += text.Length;
    }

    private static void Put(long number, Span<byte> to, ref int at)
    {
        Utf8Formatter.TryFormat(number, to[at..], out var digits);
        at += digits;
    }
}
