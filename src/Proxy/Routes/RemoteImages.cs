using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using Proxy.Chat;

namespace Proxy.Routes;

/// <summary>
/// Fetches images that a request references by URL, for a host that accepts images only inside the request. Used only if <c>[server] fetch_images</c>
/// allows it, and never for private networks (SSRF protection). The IP address is checked when the connection is made, so neither a redirect nor DNS
/// rebinding gets past the check.
/// </summary>
/// <param name="mayReach">Whether connections to an address are allowed.</param>
internal sealed class RemoteImages(Func<IPAddress, bool> mayReach) : IDisposable
{
    /// <summary>The largest image in bytes: 20 MiB is the most that vendors accept.</summary>
    public const int LargestImage = 20 << 20;

    private const int MostImages = 16;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly HttpMessageInvoker http = Client(mayReach);

    public RemoteImages() : this(IsPublic)
    {
    }

    /// <summary>
    /// Whether an address belongs to the public internet: not loopback, private, link-local, shared, multicast or reserved, and not an IPv6 address that
    /// embeds an IPv4 address.
    /// </summary>
    public static bool IsPublic(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6) address = address.MapToIPv4();
        var bytes = address.GetAddressBytes();
        if (address.AddressFamily is AddressFamily.InterNetwork)
        {
            return bytes is not ([0 or 10 or 127 or >= 224, ..] or [100, >= 64 and <= 127, ..] or [169, 254, ..] or [172, >= 16 and <= 31, ..] or [192, 168, ..]
                or [192, 0, 0 or 2, _] or [192, 88, 99, _] or [198, 18 or 19, ..] or [198, 51, 100, _] or [203, 0, 113, _]);
        }

        // 2000::/3 without the ranges that embed an IPv4 address (6to4, Teredo) and those for documentation and benchmarks.
        return bytes[0] is >= 0x20 and <= 0x3f
            && bytes is not ([0x20, 0x02, ..] or [0x20, 0x01, 0x0d, 0xb8, ..] or [0x20, 0x01, 0 or 1, ..] or [0x3f, 0xff, ..]);
    }

    /// <summary>Returns the request with every image inlined, or the error of the first image that cannot be fetched.</summary>
    public async Task<(ChatRequest Request, ProxyError? Problem)> FetchAsync(ChatRequest request, CancellationToken cancellation)
    {
        var messages = new List<ChatMessage>(request.Messages);
        var fetched = 0;
        for (var i = 0; i < messages.Count; i++)
        {
            if (!messages[i].Content.Any(IsRemote)) continue;
            var content = new List<ContentPart>(messages[i].Content);
            for (var j = 0; j < content.Count; j++)
            {
                if (!IsRemote(content[j])) continue;
                var image = (ContentPart.Image)content[j];
                var path = $"messages[{i}].content[{j}].image_url.url";
                if (++fetched > MostImages) return (request, Refuse($"the request references more than {MostImages} images by URL", path));
                var (bytes, type, problem) = await GetAsync(image.Url!, cancellation).ConfigureAwait(false);
                if (problem is not null) return (request, Refuse($"the image at \"{image.Url}\" cannot be fetched: {problem}", path));
                content[j] = image with { Base64 = Convert.ToBase64String(bytes!), MediaType = type, Url = null };
            }

            messages[i] = messages[i] with { Content = content };
        }

        return (request with { Messages = messages }, null);
    }

    /// <summary>Whether a request references an image by URL.</summary>
    public static bool Any(ChatRequest request) => request.Messages.Any(static message => message.Content.Any(IsRemote));

    public void Dispose() => http.Dispose();

    private static bool IsRemote(ContentPart part) => part is ContentPart.Image { Base64: null, Url: { } url }
        && (url.StartsWith("http://", StringComparison.OrdinalIgnoreCase) || url.StartsWith("https://", StringComparison.OrdinalIgnoreCase));

    private async Task<(byte[]? Bytes, string? Type, string? Problem)> GetAsync(string url, CancellationToken cancellation)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var address)) return (null, null, "it is not a valid URL");
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        patience.CancelAfter(Patience);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, address);
            request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("image/*"));
            using var response = await http.SendAsync(request, patience.Token).ConfigureAwait(false);
            if (response.StatusCode is not HttpStatusCode.OK) return (null, null, $"it answers {(int)response.StatusCode}");
            var type = response.Content.Headers.ContentType?.MediaType;
            if (type is null || !type.StartsWith("image/", StringComparison.OrdinalIgnoreCase))
                return (null, null, $"its type is {type ?? "unknown"}, not an image");
            if (response.Content.Headers.ContentLength > LargestImage) return (null, null, TooLarge);
            await response.Content.LoadIntoBufferAsync(LargestImage, patience.Token).ConfigureAwait(false);
            return (await response.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false), type, null);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return (null, null, $"it did not arrive within {Patience.TotalSeconds:0} s");
        }
        catch (HttpRequestException failure) when (failure.HttpRequestError is HttpRequestError.ConfigurationLimitExceeded)
        {
            return (null, null, TooLarge);
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException)
        {
            // The message tells only whether the address is allowed; more would reveal the layout of a private network.
            return (null, null, failure.InnerException is PrivateAddressException ? "it is not on the public internet" : "the connection failed");
        }
    }

    private static string TooLarge => $"it is larger than {LargestImage >> 20} MiB";

    private static ProxyError Refuse(string message, string path) => new(ProxyErrorKind.InvalidRequest, message) { Param = path };

    private static HttpMessageInvoker Client(Func<IPAddress, bool> mayReach) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = true,
        MaxAutomaticRedirections = 3,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        PooledConnectionLifetime = TimeSpan.FromMinutes(1),
        ConnectCallback = async (context, cancellation) =>
        {
            var addresses = await Dns.GetHostAddressesAsync(context.DnsEndPoint.Host, cancellation).ConfigureAwait(false);
            if (addresses.Length == 0 || !addresses.All(mayReach)) throw new PrivateAddressException();
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(addresses, context.DnsEndPoint.Port, cancellation).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    });

    private sealed class PrivateAddressException() : IOException("the address is not public");
}
