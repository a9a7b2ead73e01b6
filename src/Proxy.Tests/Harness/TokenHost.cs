using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Proxy.Tests.Harness;

/// <summary>
/// A model host on Kestrel, for what the raw fake host cannot do: TLS, and a socket in another network namespace. Every stream pauses after its first token
/// until
/// the test releases it.
/// </summary>
internal sealed class TokenHost : IAsyncDisposable
{
    readonly WebApplication app;
    readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);
    int calls;

    TokenHost(WebApplication app) => this.app = app;

    public string Url => app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    /// <summary>Number of chats so far, without probes.</summary>
    public int Calls => Volatile.Read(ref calls);

    /// <summary>The part of a stream before the pause.</summary>
    public static string Beginning(string model) => Frame(model, """{"role":"assistant","content":"one"}""", "null");

    /// <summary>The whole stream.</summary>
    public static string Stream(string model) =>
        $"{Beginning(model)}{Frame(model, """{"content":" två 三"}""", "null")}{Frame(model, "{}", "\"stop\"")}data: [DONE]\n\n";

    /// <summary>Over TLS, on a free port.</summary>
    public static Task<TokenHost> StartAsync(X509Certificate2 certificate) =>
        StartAsync(server => server.Listen(IPAddress.Loopback, 0, listener => listener.UseHttps(certificate)));

    /// <summary>On a socket that is bound and listening already.</summary>
    public static Task<TokenHost> StartAsync(Socket bound) => StartAsync(server => server.ListenHandle((ulong)bound.Handle));

    /// <summary>Lets every stream run to its end, the paused ones and later ones.</summary>
    public void Release() => released.TrySetResult();

    public async ValueTask DisposeAsync()
    {
        Release();
        await app.DisposeAsync();
    }

    static async Task<TokenHost> StartAsync(Action<KestrelServerOptions> listen)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(listen);
        var app = builder.Build();
        var host = new TokenHost(app);
        app.MapGet("/v1/models", () => Results.Text("""{"object":"list","data":[]}""", "application/json"));
        app.MapPost("/v1/chat/completions", (RequestDelegate)host.ChatAsync);
        await app.StartAsync();
        return host;
    }

    async Task ChatAsync(HttpContext context)
    {
        Interlocked.Increment(ref calls);
        using var request = await JsonDocument.ParseAsync(context.Request.Body);
        var model = request.RootElement.GetProperty("model").GetString()!;
        context.Response.ContentType = "text/event-stream";
        await context.Response.WriteAsync(Beginning(model), Encoding.UTF8);
        await context.Response.Body.FlushAsync();
        await released.Task;
        await context.Response.WriteAsync(Stream(model)[Beginning(model).Length..], Encoding.UTF8);
    }

    static string Frame(string model, string delta, string finish) =>
        $$"""data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795000000,"model":"{{model}}","choices":["""
            + $$"""{"index":0,"delta":{{delta}},"finish_reason":{{finish}}}]}""" + "\n\n";
}
