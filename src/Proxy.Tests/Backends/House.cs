using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Proxy.Backends;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Dialects;

namespace Proxy.Tests.Backends;

/// <summary>A backend directory with scripted hosts, and the queue and the dispatcher in front of them.</summary>
internal sealed class House : IDisposable
{
    public House(params BackendConfig[] backends) : this(new ProxyConfig { Backends = backends }) { }

    public House(ProxyConfig config)
    {
        Directory = new BackendDirectory(config, target => Hosts[target.Address.Host] = Hosts.GetValueOrDefault(target.Address.Host) ?? new ScriptedHost(),
            DialectTable.Backend, Time);
        Slots = new SlotQueue(Time);
        Dispatcher = new BackendDispatcher(Directory, Slots, Log, Time);
    }

    public FakeTimeProvider Time { get; } = new();
    public Dictionary<string, ScriptedHost> Hosts { get; } = [];
    public BackendDirectory Directory { get; }
    public SlotQueue Slots { get; }
    public BackendDispatcher Dispatcher { get; }
    public Lines Log { get; } = new();

    public Backend this[string name] => Directory.Table.All.Single(b => b.Name == name);

    /// <summary>The configuration of a backend whose host has the backend's name.</summary>
    public static BackendConfig At(string name, params string[] models) =>
        new() { Name = name, Url = $"http://{name}", Models = models, Dialects = [DialectFamily.OpenAi] };

    public House Plays(string host, params Script[] scripts)
    {
        _ = Directory.Table;
        foreach (var script in scripts) Hosts[host].Add(script);
        return this;
    }

    public void Dispose() => Directory.Dispose();
}

/// <summary>Records the log.</summary>
internal sealed class Lines : ILogger
{
    private readonly List<string> all = [];

    public IReadOnlyList<string> All { get { lock (all) return [.. all]; } }

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (all) all.Add($"{eventId.Name}: {formatter(state, exception)}");
    }
}
