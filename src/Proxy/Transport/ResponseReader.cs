using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>
/// Reads one response of a host from bytes that come piece by piece: skips interim heads (1xx), then gives the head, then the body without its framing. It holds no bytes: the caller
/// presents those that were not used again, with what came behind them. A mutable value: keep it in one field.
/// </summary>
internal struct ResponseReader
{
    /// <summary>Interim heads before the answer. A host has one or two to send; one that sends them for ever must not hold a loop.</summary>
    private const int MostInterim = 16;

    private int scanned; // bytes of an incomplete head that were already searched for its end
    private int interim;
    private string? broken;

    /// <summary>The answer's, once <see cref="HasHead"/>.</summary>
    public ResponseHead Head;

    /// <summary>The request was HEAD.</summary>
    public bool IsBodyless { private get; set; }

    public bool HasHead { get; private set; }

    /// <summary>A byte of the response has come: the host has seen the request.</summary>
    public bool HasBegun { get; private set; }

    /// <summary>The host sends no more.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>How the wait for a head failed.</summary>
    public UpstreamOutcome Outcome { get; private set; }

    /// <summary>Why there is no head, or why the body ended too early.</summary>
    public string? Failure { get; private set; }

    /// <summary>The response was read to its end, and the host keeps the connection.</summary>
    public readonly bool KeepsConnection => HasHead && Head.Body.Done && Head.KeepAlive && !IsClosed;

    /// <summary>A read of the body brings nothing until more bytes have come.</summary>
    public readonly bool NeedsBytes => !IsClosed && !Head.Body.Done && Head.Body.Fault is null;

    /// <summary>For the same request over another connection.</summary>
    public void Restart() => this = new() { IsBodyless = IsBodyless };

    /// <summary>No more bytes come.</summary>
    /// <param name="why">How the connection broke; null when the host closed it in order.</param>
    public void Close(string? why)
    {
        IsClosed = true;
        broken = why;
    }

    /// <summary>False: more bytes have to come. True: <see cref="Head"/> is read, or <see cref="Failure"/> says why it cannot be.</summary>
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
                return IsClosed && Fail(UpstreamOutcome.Broken, broken is null ? "the host closed the connection before it answered" : $"the connection broke before the answer: {broken}");
            }

            if (ResponseHead.Read(rest[..length], IsBodyless, out Head) is { } fault) return NotHttp(fault);
            used += length;
            scanned = 0;
            if (Head.Status >= 200) return HasHead = true;
            if (Head.Status == 101) return NotHttp("it switched to another protocol");
            if (++interim > MostInterim) return NotHttp($"more than {MostInterim} interim answers (1xx) came before it");
        }
    }

    /// <summary>False: more bytes have to come, and all of these were used. True: here is a piece of the body, its end, or a <see cref="Failure"/>.</summary>
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

    /// <summary>The head as a caller of the client sees it.</summary>
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
