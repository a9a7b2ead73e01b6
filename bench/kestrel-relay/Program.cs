// kestrel-relay PORT HOST_URL: the plain relay, Kestrel in front and HttpClient behind, each as it comes out of the box.
using System.Buffers;
using System.Globalization;

var upstream = args[1];
var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
{
    Args = ["--hostBuilder:reloadConfigOnChange=false"],
    ContentRootPath = AppContext.BaseDirectory,
});
builder.Logging.ClearProviders();
builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(int.Parse(args[0], CultureInfo.InvariantCulture)));
var app = builder.Build();

using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false });
client.Timeout = Timeout.InfiniteTimeSpan;

app.Run(async context =>
{
    var cancellation = context.RequestAborted;
    using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), upstream + context.Request.Path + context.Request.QueryString);
    if (context.Request.ContentLength is { } length)
    {
        request.Content = new StreamContent(context.Request.Body);
        request.Content.Headers.ContentLength = length;
        request.Content.Headers.TryAddWithoutValidation("content-type", context.Request.ContentType);
    }

    using var reply = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
    context.Response.StatusCode = (int)reply.StatusCode;
    context.Response.ContentType = reply.Content.Headers.ContentType?.ToString();
    context.Response.ContentLength = reply.Content.Headers.ContentLength;

    await using var body = await reply.Content.ReadAsStreamAsync(cancellation);
    var buffer = ArrayPool<byte>.Shared.Rent(16 * 1024);
    for (int read; (read = await body.ReadAsync(buffer, cancellation)) > 0;)
    {
        await context.Response.Body.WriteAsync(buffer.AsMemory(0, read), cancellation);
        await context.Response.Body.FlushAsync(cancellation);
    }
    ArrayPool<byte>.Shared.Return(buffer);
});
app.Run();
