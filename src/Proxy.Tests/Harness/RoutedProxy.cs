using System.Text;
using Microsoft.Extensions.Time.Testing;
using Proxy.Chat;
using Proxy.Composition;
using Proxy.Config;
using Proxy.Http;
using Proxy.Streams;
using Proxy.Telemetry;
using Proxy.Transport.Http1;

namespace Proxy.Tests.Harness;

/// <summary>
/// A proxy in this process with the test's own routes before the direct one. Its listeners, transport and exchanges are the program's; its clock moves when the
/// test moves it.
/// </summary>
internal sealed class RoutedProxy : IAsyncDisposable
{
    /// <summary>Without a folder of the user's: a test must leave nothing there.</summary>
    private static readonly ConfigSources Homeless = new()
    {
        Environment = static name => name is "STATE_DIRECTORY" or "XDG_DATA_HOME" or "HOME" ? null : System.Environment.GetEnvironmentVariable(name),
    };

    private readonly LogWriter writer;
    private readonly Parts parts;
    private readonly Listeners listeners;
    private readonly WebServer app;
    private JournalTable? journals;

    private RoutedProxy(string toml, Func<IChatRoute, IEnumerable<IChatRoute>> routes, Follow? follow, Action<PartsBuilder>? more)
    {
        var result = ConfigReader.Read(toml, Homeless);
        if (result.Config is not { } config) throw new InvalidOperationException(string.Join("; ", result.Problems));
        writer = new LogWriter(new Lines(Log));
        parts = new Parts(new LoadedConfig(null, config), writer, Time, more: parts =>
        {
            journals = parts.Exchange.Sharing.Journals;
            parts.ChatRoutes.AddRange(routes(parts.Direct));
            if (follow is not null) parts.Exchange.Follow.Add(follow);
            more?.Invoke(parts);
        });
        var date = new HttpDate(Time);
        listeners = new Listeners(config, null,
            parts.Loops is null ? null : server => Http1Connection.Use(server, parts.Endpoints.HandleAsync, date, parts.Log));
        app = ProxyHost.Build(parts, listeners, []);
    }

    public FakeTimeProvider Time { get; } = new();

    public ProxyLog Log { get; } = new();

    /// <summary>The answers that the proxy keeps.</summary>
    public JournalTable Journals => journals!;

    /// <summary>The running calls.</summary>
    public ActiveCalls Calls => parts.Calls;

    public Uri Address => new(listeners.All[0].Url);

    /// <param name="toml">The configuration.</param>
    /// <param name="routes">The test's routes; gets the direct one.</param>
    /// <param name="follow">Follows every call.</param>
    /// <param name="more">Adds whatever else a feature can add.</param>
    public static async Task<RoutedProxy> StartAsync(
        string toml, Func<IChatRoute, IEnumerable<IChatRoute>> routes, Follow? follow = null, Action<PartsBuilder>? more = null)
    {
        var proxy = new RoutedProxy(toml, routes, follow, more);
        await proxy.app.StartAsync();
        return proxy;
    }

    /// <summary>A call and its log line.</summary>
    public async Task<(RawReply Reply, CallLine Line)> CallAsync(string path, string body, params string[] headers)
    {
        var correlation = FrontDoor.Correlation();
        var reply = await RawClient.SendAsync(Address, "POST", path, Encoding.UTF8.GetBytes(body), [.. headers, $"x-correlation-id: {correlation}"]);
        return (reply, await Log.CallAsync(correlation));
    }

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
        listeners.Dispose();
        parts.Dispose();
        writer.Dispose();
    }

    /// <summary>Gives what is written to a log, a line at a time.</summary>
    private sealed class Lines(ProxyLog log) : MemoryStream
    {
        public override void Write(ReadOnlySpan<byte> buffer)
        {
            foreach (var line in Encoding.UTF8.GetString(buffer).Split('\n', StringSplitOptions.RemoveEmptyEntries)) log.Add(line);
        }
    }
}
