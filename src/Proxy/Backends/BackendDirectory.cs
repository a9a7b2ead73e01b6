using System.Security.Cryptography.X509Certificates;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Transport;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>
/// The one place that knows the current <see cref="BackendTable"/>. A reload or news from a host makes a new one; calls under way keep theirs.
/// </summary>
internal sealed class BackendDirectory(
    ProxyConfig config, Func<UpstreamTarget, UpstreamClient> connect, Func<DialectName, BackendDialect?> dialects, TimeProvider time) : IDisposable
{
    private readonly Lock gate = new();
    private readonly Dictionary<(string Name, string Url), BackendState> states = [];
    private readonly Dictionary<string, UpstreamClient> clients = [];
    private BackendTable? table;

    /// <summary>By what this process is known to other proxies, in every request to a host.</summary>
    public ProxyIdentity Identity { get; } = new();

    public BackendTable Table => Volatile.Read(ref table) ?? Apply(config);

    /// <summary>The models in this process; a table that is made from now on knows them.</summary>
    public EmbedderTable Embedders { get; set; } = EmbedderTable.Empty;

    /// <summary>Told after the table changed.</summary>
    public Action? Changed { get; set; }

    /// <summary>
    /// Makes a configuration the current one. Hosts that are reached as before keep their connections; backends of the same name and url keep what is known of
    /// them.
    /// </summary>
    public BackendTable Apply(ProxyConfig next)
    {
        lock (gate)
        {
            Volatile.Write(ref table, new BackendTable(next, [.. next.Backends.Select(Build)], Embedders));
        }

        Changed?.Invoke();
        return Table;
    }

    /// <summary>A host said something new of itself: which models it serves may have changed.</summary>
    public void Refresh()
    {
        lock (gate)
        {
            var current = Table;
            Volatile.Write(ref table, new BackendTable(current.Config, current.All, Embedders));
        }
    }

    public void Dispose()
    {
        foreach (var client in clients.Values) client.Dispose();
    }

    private Backend Build(BackendConfig wanted)
    {
        if (!states.TryGetValue((wanted.Name, wanted.Url), out var state)) states.Add((wanted.Name, wanted.Url), state = new BackendState(wanted.Name, time));
        state.Slots = wanted.Slots;
        state.Given = 0; // a newcomer need not catch up with those that were here before it
        return new Backend(wanted, state, wanted.Url == BackendConfig.BuiltinEcho ? null : Client(wanted), dialects);
    }

    /// <summary>
    /// One client for each way of reaching a host. One that a reload made superfluous stays: calls under way still use it, and it is closed with the process.
    /// </summary>
    private UpstreamClient Client(BackendConfig wanted)
    {
        var way = string.Join(
            '\n', [wanted.Url, wanted.Key, wanted.Ca?.Text, wanted.TlsVerify, wanted.Connect, .. wanted.Headers.Select(h => $"{h.Key}: {h.Value}")]);
        if (!clients.TryGetValue(way, out var client)) clients.Add(way, client = connect(Target(wanted) with { Via = Identity.Via }));
        return client;
    }

    public static UpstreamTarget Target(BackendConfig backend)
    {
        var headers = backend.Headers.Select(h => new UpstreamHeader(h.Key, h.Value)).ToList();
        if (backend.Key is { } key)
        {
            // Anthropic's own API takes the first alone; local hosts that speak its dialect beside others take the second.
            if (backend.Dialects?.Contains(DialectFamily.Anthropic) is true) headers.Add(new("x-api-key", key));
            if (backend.Dialects is not [DialectFamily.Anthropic]) headers.Add(new("Authorization", "Bearer " + key));
        }

        return new UpstreamTarget(new Uri(backend.Url))
        {
            Headers = headers,
            Connect = backend.Connect,
            Authorities = backend.Ca is { } ca ? Authorities(ca.Text) : null,
            VerifyCertificate = backend.TlsVerify,
        };
    }

    private static X509Certificate2Collection Authorities(string pem)
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPem(pem);
        return authorities;
    }
}
