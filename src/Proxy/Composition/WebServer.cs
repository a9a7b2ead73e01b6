using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Proxy.Transport;
using Proxy.Transport.Loops;

namespace Proxy.Composition;

/// <summary>
/// Kestrel, and nothing of ASP.NET's hosts around it: no call uses their pages, routes, policies and configuration, which would make the program larger.
/// </summary>
internal sealed class WebServer : IHttpApplication<HttpContext>, IAsyncDisposable
{
    private readonly ServiceProvider services;
    private readonly IServer server;
    private readonly RequestDelegate handle;

    /// <param name="handle">Serves a request. Must not throw.</param>
    /// <param name="loggers">Get Kestrel's own warnings.</param>
    /// <param name="transports">What binds the listeners; the last that can bind one does.</param>
    /// <param name="configure">Sets limits and listeners.</param>
    public WebServer(RequestDelegate handle, ILoggerFactory loggers, IEnumerable<IConnectionListenerFactory> transports, Action<KestrelServerOptions> configure)
    {
        this.handle = handle;
        var builder = new ServerBuilder();
        builder.Services.AddOptions();
        builder.Services.AddSingleton(loggers);
        builder.Services.AddSingleton(typeof(ILogger<>), typeof(Logger<>));
        builder.Services.AddSingleton<DiagnosticSource>(new DiagnosticListener("Microsoft.AspNetCore"));
        builder.Services.AddSingleton<IMeterFactory>(new Meters());
        builder.UseKestrelCore();
        foreach (var transport in transports) builder.Services.AddSingleton(transport);
        builder.Services.Configure(configure);
        services = builder.Services.BuildServiceProvider();
        server = services.GetRequiredService<IServer>();
    }

    public Task StartAsync(CancellationToken cancellation = default) => server.StartAsync(this, cancellation);

    /// <summary>Closes the listeners, and waits for the connections until the token is cancelled.</summary>
    public Task StopAsync(CancellationToken cancellation = default) => server.StopAsync(cancellation);

    public ValueTask DisposeAsync() => services.DisposeAsync();

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public Task ProcessRequestAsync(HttpContext context) => handle(context);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    /// <summary>Takes what Kestrel adds to a host's services.</summary>
    private sealed class ServerBuilder : IWebHostBuilder
    {
        public ServiceCollection Services { get; } = [];

#pragma warning disable ASPDEPR008 // the interface has it
        public IWebHost Build() => throw new NotSupportedException();
#pragma warning restore ASPDEPR008

        public IWebHostBuilder ConfigureAppConfiguration(Action<WebHostBuilderContext, IConfigurationBuilder> configureDelegate) => this;

        public IWebHostBuilder ConfigureServices(Action<IServiceCollection> configureServices)
        {
            configureServices(Services);
            return this;
        }

        public IWebHostBuilder ConfigureServices(Action<WebHostBuilderContext, IServiceCollection> configureServices)
        {
            configureServices(new(), Services);
            return this;
        }

        public string? GetSetting(string key) => null;

        public IWebHostBuilder UseSetting(string key, string? value) => this;
    }

    /// <summary>Kestrel's own measurements, which nothing reads.</summary>
    private sealed class Meters : IMeterFactory
    {
        public Meter Create(MeterOptions options) => new(options);

        public void Dispose()
        {
        }
    }
}
