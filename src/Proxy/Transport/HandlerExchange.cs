using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using Proxy.Buffers;

namespace Proxy.Transport;

/// <summary>One request and its reply over the runtime's HTTP client.</summary>
internal sealed class HandlerExchange : InterruptibleExchange
{
    private const int SmallBuffer = 4096;
    private const int LargeBuffer = 64 * 1024;

    private readonly HandlerUpstream client;
    private readonly CancellationTokenSource over = new();
    private readonly Action received;
    private HttpResponseMessage? response;
    private Stream? stream;
    private TrackedStream? used;
    private ConfiguredValueTaskAwaitable<int>.ConfiguredValueTaskAwaiter receive;
    private byte[]? buffer;
    private int count;
    private bool unread;
    private bool full;
    private bool ended;
    private Exception? refused;
    private string? fault;
    private int disposed;

    public HandlerExchange(HandlerUpstream client, CoarseTicker ticker) : base(ticker)
    {
        this.client = client;
        received = Received;
    }

    /// <summary>The request is being written to this connection.</summary>
    public void Uses(TrackedStream connection)
    {
        Volatile.Write(ref used, connection);
        if (IsEnded) connection.CloseFor(this);
    }

    public override async ValueTask<UpstreamHead> SendAsync(UpstreamRequest request)
    {
        Opening = true;
        StartClock();
        TrackedStream.Belongs(this);
        for (var retry = false; ; retry = true)
        {
            try
            {
                using var message = Message(request);
                if (IsEnded) return Failed(default, null);
                response = await client.Invoker.SendAsync(message, over.Token);
                stream = await response.Content.ReadAsStreamAsync(over.Token);
                break;
            }
            catch (Exception failure) when (failure is HttpRequestException or OperationCanceledException or IOException or ObjectDisposedException)
            {
                HostWasAway = Volatile.Read(ref used) is { IsLost: true };
                // The host had closed the idle connection; it has not seen this request.
                if (!retry && !IsEnded && !HostWasAway && Interlocked.Exchange(ref used, null) is { IsReused: true, HasHeard: false }) continue;
                return Failed(Outcome(failure), Words(failure));
            }
        }

        Opening = false;
        Reading = true;
        if (IsEnded) return Failed(default, null);
        return new(UpstreamOutcome.Answered, (int)response.StatusCode)
        {
            ContentType = response.Content.Headers.NonValidated.TryGetValues("Content-Type", out var type) && IsPrintable(type.ToString()) ? type.ToString() : null,
            ContentLength = response.Content.Headers.ContentLength,
            ContentEncoding = response.Content.Headers.NonValidated.TryGetValues("Content-Encoding", out var coding) && !ContentCoding.IsIdentity(coding.ToString()) ? coding.ToString() : null,
            Headers = Crossing(response.Headers),
        };
    }

    public override ValueTask<ReplyRead> ReadAsync() => NextAsync();

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        StopClock();
        if (!ended) Close();
        response?.Dispose();
        if (TryLeave()) ReleaseReceive();
    }

    protected override void Break()
    {
        _ = over.CancelAsync(); // not here: its continuations would run on this stack
        Close();
    }

    protected override bool BeginReceive()
    {
        if (full && buffer is { Length: < LargeBuffer } small)
        {
            buffer = ArrayPool<byte>.Shared.Rent(small.Length * 2);
            ArrayPool<byte>.Shared.Return(small);
        }

        buffer ??= ArrayPool<byte>.Shared.Rent(SmallBuffer);
        try
        {
#pragma warning disable CA2012 // Consumed once, in EndReceive: a read must outlive a Quiet.
            receive = stream!.ReadAsync(buffer).ConfigureAwait(false).GetAwaiter();
#pragma warning restore CA2012
        }
        catch (Exception failure) when (failure is IOException or ObjectDisposedException)
        {
            refused = failure;
            return false;
        }

        if (receive.IsCompleted) return false;
        receive.UnsafeOnCompleted(received);
        return true;
    }

    protected override void EndReceive()
    {
        try
        {
            if (refused is not null) throw refused;
            count = receive.GetResult();
            full = count == buffer!.Length;
            unread = count > 0;
            ended = count == 0;
            if (ended) Volatile.Write(ref used, null); // the connection is the client's again
        }
        catch (Exception failure) when (failure is IOException or HttpRequestException or OperationCanceledException or ObjectDisposedException)
        {
            HostWasAway = Volatile.Read(ref used) is { IsLost: true };
            fault = $"the host broke off its answer: {failure.Message}";
        }
    }

    protected override bool TryProduce(out ReplyRead read)
    {
        if (unread)
        {
            unread = false;
            read = new(ReplyReadKind.Data, buffer.AsMemory(0, count));
            return true;
        }

        Failure = fault;
        read = new(ended ? ReplyReadKind.End : ReplyReadKind.Failed);
        return ended || fault is not null || stream is null;
    }

    protected override void ReleaseReceive()
    {
        if (Interlocked.Exchange(ref buffer, null) is { } rented) ArrayPool<byte>.Shared.Return(rented);
        over.Dispose();
    }

    private void Close() => Interlocked.Exchange(ref used, null)?.CloseFor(this);

    private HttpRequestMessage Message(in UpstreamRequest request)
    {
        var address = client.Target.Address;
        var message = new HttpRequestMessage(new(request.Method), new Uri($"{address.Scheme}://{address.Authority}{request.Path}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }))
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        if (!request.Body.IsEmpty || request.Method is "POST" or "PUT" or "PATCH")
        {
            message.Content = new BodyContent(request.Body);
            if (request.ContentType is { } type) message.Content.Headers.TryAddWithoutValidation("Content-Type", type);
        }

        message.Headers.TryAddWithoutValidation("Accept-Encoding", "identity");
        foreach (var header in client.Target.Headers) Add(message, header);
        foreach (var header in request.Headers) Add(message, header);
        if (client.Target.Via is { } via) Add(message, new("Via", request.Via is { } before ? $"{before}, {via}" : via));
        return message;
    }

    private static void Add(HttpRequestMessage message, UpstreamHeader header)
    {
        if (!RequestHead.MaySet(header.Name) || header.Value.AsSpan().IndexOfAny("\r\n\0") >= 0) return;
        if (!message.Headers.TryAddWithoutValidation(header.Name, header.Value)) message.Content?.Headers.TryAddWithoutValidation(header.Name, header.Value);
    }

    private static List<UpstreamHeader> Crossing(HttpResponseHeaders headers)
    {
        var crossing = new List<UpstreamHeader>();
        foreach (var header in headers.NonValidated)
        {
            if (!ResponseHead.MayCross(Encoding.ASCII.GetBytes(header.Key))) continue;
            foreach (var value in header.Value)
            {
                if (IsPrintable(value)) crossing.Add(new(header.Key.ToLowerInvariant(), value));
            }
        }

        return crossing;
    }

    private static bool IsPrintable(string value) => value.AsSpan().IndexOfAnyExceptInRange(' ', '~') < 0;

    private UpstreamHead Failed(UpstreamOutcome outcome, string? why)
    {
        Opening = false;
        Close();
        if (IsTimedOut) return new(UpstreamOutcome.TimedOut) { Failure = "the host did not answer in time" };
        if (IsEnded) return new(UpstreamOutcome.Cancelled) { Failure = "the call was cancelled" };
        return new(outcome) { Failure = why };
    }

    private static UpstreamOutcome Outcome(Exception failure) => failure switch
    {
        OperationCanceledException => UpstreamOutcome.ConnectTimedOut, // nothing else is left once the exchange has not ended
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError or HttpRequestError.SecureConnectionError } =>
            DescriptorShortage.IsCauseOf(failure) ? UpstreamOutcome.OutOfDescriptors : UpstreamOutcome.ConnectFailed,
        HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse or HttpRequestError.ConfigurationLimitExceeded } => UpstreamOutcome.NotHttp,
        _ => UpstreamOutcome.Broken,
    };

    private string Words(Exception failure) => failure is OperationCanceledException
        ? $"{client.Name} took no connection within {client.Target.Connect.TotalSeconds:0.###} s"
        : $"{client.Name}: {failure.InnerException switch
        {
            null => Text(failure.Message),
            SocketException socket => socket.Message, // around it the same is said again
            var inner => $"{Text(failure.Message)} ({Text(inner.Message)})",
        }}";

    // The runtime quotes a head that it cannot read, whatever its bytes are.
    private static string Text(string message) => IsPrintable(message) ? message : string.Concat(message.Select(static letter => letter is >= ' ' and <= '~' ? letter : '?'));

    private sealed class BodyContent(SplicedBody body) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(body.Before);
            await stream.WriteAsync(body.Inserted);
            await stream.WriteAsync(body.After);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = body.Length;
            return true;
        }
    }
}
