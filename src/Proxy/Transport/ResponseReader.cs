using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// Incremental parser of one response from a host: skips interim heads (1xx), then yields the head, then the body without its framing. It stores no
/// bytes: the caller passes unused bytes again, followed by newly received ones. A mutable struct: keep it in one field.
/// </summary>
internal struct ResponseReader
{
    /// <summary>
    /// The most interim heads before the final one. A host normally sends one or two; one that never stops sending them must not occupy a loop.
    /// </summary>
    private const int MostInterim = 16;

    private int scanned; // how much of an incomplete head has already been searched for its end
    private int interim;
    private string? broken;

    /// <summary>The final response's head, valid once <see cref="HasHead"/>.</summary>
    public ResponseHead Head;

    /// <summary>The request was HEAD.</summary>
    public bool IsBodyless { private get; set; }

    public bool HasHead { get; private set; }

    /// <summary>At least one byte of the response has arrived, so the host has seen the request.</summary>
    public bool HasBegun { get; private set; }

    /// <summary>No more bytes will arrive.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Why there is no head, as a category.</summary>
    public UpstreamOutcome Outcome { get; private set; }

    /// <summary>Why there is no head, or why the body ended too early, as a text for the log.</summary>
    public string? Failure { get; private set; }

    /// <summary>The response was read to its end, and the host keeps the connection open.</summary>
    public readonly bool KeepsConnection => HasHead && Head.Body.Done && Head.KeepAlive && !IsClosed;

    /// <summary>A read of the body returns nothing until more bytes have arrived.</summary>
    public readonly bool NeedsBytes => !IsClosed && !Head.Body.Done && Head.Body.Fault is null;

    /// <summary>Resets the reader for the same request over another connection.</summary>
    public void Restart() => this = new() { IsBodyless = IsBodyless };

    /// <summary>The connection has ended.</summary>
    /// <param name="why">The connection's error; null if the host closed it in order.</param>
    public void Close(string? why)
    {
        IsClosed = true;
        broken = why;
    }

    /// <summary>False: more bytes are needed. True: <see cref="Head"/> is complete, or <see cref="Failure"/> says why it cannot be read.</summary>
    public bool TryReadHead(Span<byte> bytes, out int used)
    {
        used = 0;
        HasBegun |= !bytes.IsEmpty;
        while (true)
        {
            var rest = bytes[used..];
            if (!ResponseHead.CanBegin(rest)) return NotHttp("its first bytes are not an HTTP/1.x response");
            var length = ResponseHead.FindEnd(rest, ref scanned);
            if (length == 0)
            {
                if (rest.Length >= ResponseHead.MaxBytes) return NotHttp($"its head is larger than {ResponseHead.MaxBytes} bytes");
                return IsClosed && Fail(UpstreamOutcome.Broken, broken is null
                    ? "the host closed the connection before it answered"
                    : $"the connection broke before the answer: {broken}");
            }

            if (ResponseHead.Read(rest[..length], IsBodyless, out Head) is { } fault) return NotHttp(fault);
            used += length;
            scanned = 0;
            if (Head.Status >= 200) return HasHead = true;
            if (Head.Status == 101) return NotHttp("it switched to another protocol");
            if (++interim > MostInterim) return NotHttp($"more than {MostInterim} interim answers (1xx) came before it");
        }
    }

    /// <summary>False: all bytes were used and more are needed. True: <paramref name="read"/> is a piece of the body, its end, or a failure.</summary>
    public bool TryReadBody(Memory<byte> bytes, out int used, out ReplyRead read)
    {
        used = 0;
        while (!Head.Body.Done)
        {
            if (Head.Body.Fault is { } fault) return Fail(fault, out read);
            if (used < bytes.Length)
            {
                var length = Head.Body.Unframe(bytes.Span[used..], out var start, out var taken);
                start += used;
                used += taken;
                if (length == 0) continue;
                read = new(ReplyReadKind.Data, bytes.Slice(start, length));
                return true;
            }

            if (!IsClosed)
            {
                read = default;
                return false;
            }

            if (broken is not null) return Fail($"the host broke off its answer: {broken}", out read);
            Head.Body.Close();
        }

        read = new(ReplyReadKind.End);
        return true;
    }

    /// <summary>The head in the form that <see cref="UpstreamExchange.SendAsync"/> returns.</summary>
    public readonly UpstreamHead Answer() => new(UpstreamOutcome.Answered, Head.Status)
    {
        ContentType = Head.ContentType,
        ContentLength = Head.ContentLength,
        ContentEncoding = Head.ContentEncoding,
        Headers = Head.Headers is { } headers ? headers : [],
    };

    private bool NotHttp(string why) => Fail(UpstreamOutcome.NotHttp, $"the host's answer cannot be read: {why}");

    private bool Fail(UpstreamOutcome outcome, string why)
    {
        Outcome = outcome;
        Failure = why;
        return true;
    }

    private bool Fail(string why, out ReplyRead read)
    {
        Failure = why;
        read = new(ReplyReadKind.Failed);
        return true;
    }
}
