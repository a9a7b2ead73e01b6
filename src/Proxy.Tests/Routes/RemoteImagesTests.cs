using System.Net;
using System.Net.Sockets;
using System.Text;
using Proxy.Chat;
using Proxy.Routes;
using Proxy.Tests.Harness;

namespace Proxy.Tests.Routes;

public sealed class RemoteImagesTests
{
    private static ChatRequest Asking(string url) =>
        new() { Model = "m", Messages = [new(ChatRole.User, [new ContentPart.Text("what is this?"), new ContentPart.Image(null, null, url)])] };

    /// <summary>An HTTP server with one page, which counts its requests.</summary>
    private sealed class Place : IAsyncDisposable
    {
        private readonly TcpListener listener = new(IPAddress.Loopback, 0);
        private readonly CancellationTokenSource stop = new();
        private readonly Task serving;

        public Place(string answer)
        {
            listener.Start();
            var bytes = Encoding.ASCII.GetBytes(answer);
            serving = listener.Server.ServeAsync(client => ServeAsync(client, bytes), stop.Token);
        }

        public int Asked { get; private set; }

        public string Url => $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}/a";

        public async ValueTask DisposeAsync()
        {
            await stop.CancelAsync();
            await serving;
            listener.Dispose();
            stop.Dispose();
        }

        private async Task ServeAsync(Socket client, byte[] answer)
        {
            Asked++;
            await using var stream = new NetworkStream(client, ownsSocket: true);
            try
            {
                _ = await stream.ReadAsync(new byte[4096], stop.Token);
                await stream.WriteAsync(answer, stop.Token);
            }
            catch (Exception failure) when (Connections.IsLeaving(failure))
            {
                // The client has left, or the test has ended.
            }
        }
    }

    private static string Page(string type, string body, string status = "200 OK", int? length = null) =>
        $"HTTP/1.1 {status}\r\ncontent-type: {type}\r\ncontent-length: {length ?? body.Length}\r\nconnection: close\r\n\r\n{body}";

    [Theory]
    [InlineData("8.8.8.8", true)]
    [InlineData("2606:4700::1111", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("0.0.0.0", false)]
    [InlineData("10.1.2.3", false)]
    [InlineData("172.16.0.1", false)]
    [InlineData("172.32.0.1", true)]
    [InlineData("192.168.1.1", false)]
    [InlineData("169.254.169.254", false)]
    [InlineData("100.64.0.1", false)]
    [InlineData("224.0.0.1", false)]
    [InlineData("255.255.255.255", false)]
    [InlineData("::1", false)]
    [InlineData("::", false)]
    [InlineData("fe80::1", false)]
    [InlineData("fd00::1", false)]
    [InlineData("ff02::1", false)]
    [InlineData("::ffff:10.0.0.1", false)]
    [InlineData("::ffff:8.8.8.8", true)]
    [InlineData("2002:0a00:0001::1", false)]
    [InlineData("64:ff9b::0a00:1", false)]
    public void Address_Is_public_or_is_not_asked(string address, bool expected) => Assert.Equal(expected, RemoteImages.IsPublic(IPAddress.Parse(address)));

    [Fact]
    public async Task Image_is_fetched_It_stands_in_the_request()
    {
        await using var place = new Place(Page("image/png", "picture"));
        using var images = new RemoteImages(static _ => true);

        var (request, problem) = await images.FetchAsync(Asking(place.Url), TestContext.Current.CancellationToken);

        Assert.Null(problem);
        Assert.Equal(new ContentPart.Image("image/png", Convert.ToBase64String("picture"u8), null), request.Messages[0].Content[1]);
        Assert.False(RemoteImages.Any(request));
    }

    [Fact]
    public async Task Address_is_private_Nothing_is_asked()
    {
        await using var place = new Place(Page("image/png", "secret"));
        using var images = new RemoteImages();

        var (_, problem) = await images.FetchAsync(Asking(place.Url), TestContext.Current.CancellationToken);

        Assert.Contains("not on the public internet", problem!.Message, StringComparison.Ordinal);
        Assert.Equal("messages[0].content[1].image_url.url", problem.Param);
        Assert.Equal(0, place.Asked);
    }

    [Fact]
    public async Task Redirect_leads_to_a_private_address_It_is_not_followed()
    {
        await using var inside = new Place(Page("image/png", "secret"));
        await using var place = new Place("HTTP/1.1 302 Found\r\n"
            + $"location: {inside.Url.Replace("127.0.0.1", "127.0.0.2", StringComparison.Ordinal)}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        using var images = new RemoteImages(static address => address.Equals(IPAddress.Loopback));

        var (_, problem) = await images.FetchAsync(Asking(place.Url), TestContext.Current.CancellationToken);

        Assert.Contains("not on the public internet", problem!.Message, StringComparison.Ordinal);
        Assert.Equal((1, 0), (place.Asked, inside.Asked));
    }

    [Theory]
    [InlineData("text/html", "200 OK", "not an image")]
    [InlineData("image/png", "404 Not Found", "404")]
    public async Task Answer_is_no_image_The_client_is_told(string type, string status, string expected)
    {
        await using var place = new Place(Page(type, "x", status));
        using var images = new RemoteImages(static _ => true);

        var (_, problem) = await images.FetchAsync(Asking(place.Url), TestContext.Current.CancellationToken);

        Assert.Contains(expected, problem!.Message, StringComparison.Ordinal);
        Assert.Equal(ProxyErrorKind.InvalidRequest, problem.Kind);
    }

    [Theory]
    [InlineData("http://")]
    [InlineData("http://nowhere.invalid/a.png")]
    public async Task Address_leads_nowhere_The_client_is_told(string url)
    {
        using var images = new RemoteImages(static _ => true);

        var (_, problem) = await images.FetchAsync(Asking(url), TestContext.Current.CancellationToken);

        Assert.Equal(ProxyErrorKind.InvalidRequest, problem!.Kind);
    }

    [Fact]
    public async Task Image_is_too_large_It_is_not_read()
    {
        await using var place = new Place(Page("image/png", "x", length: RemoteImages.LargestImage + 1));
        using var images = new RemoteImages(static _ => true);

        var (_, problem) = await images.FetchAsync(Asking(place.Url), TestContext.Current.CancellationToken);

        Assert.Contains("larger than 20 MiB", problem!.Message, StringComparison.Ordinal);
    }
}
