using System.Security.Cryptography.X509Certificates;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Transport;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>
/// Holds the current <see cref="BackendTable"/>. A reload, or a change that a host reports, replaces it; running calls keep theirs.
/// </summary>
internal sealed class BackendDirectory(
    ProxyConfig config, Func<UpstreamTarget, UpstreamClient> connect, Func<DialectName, BackendDialect?> dialects, TimeProvider time) : IDisposable
{
    private readonly Lock gate = new();
    private readonly Dictionary<(string Name, string Url), BackendState> states = [];
    private readonly Dictionary<string, UpstreamClient> clients = [];
    private BackendTable? table;

    /// <summary>The id of this process, which every request to a host carries, so that other proxies recognize it.</summary>
    public ProxyIdentity Identity { get; } = new();

    public BackendTable Table => Volatile.Read(ref table) ?? Apply(config);

    /// <summary>The models in this process; tables made after it is set contain them.</summary>
    public EmbedderTable Embedders { get; set; } = EmbedderTable.Empty;

    /// <summary>Called after the table changed.</summary>
    public Action? Changed { get; set; }

    /// <summary>
    /// Makes a configuration the current one. A host whose address and credentials did not change keeps its connections; a backend whose name and url did not
    /// change
    /// keeps its state.
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

    /// <summary>Rebuilds the table after a host reported a change, because the models that it serves may have changed.</summary>
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
        state.Given = 0; // a new backend need not catch up with the older ones
        return new Backend(wanted, state, wanted.Url == BackendConfig.BuiltinEcho ? null : Client(wanted), dialects);
    }

    /// <summary>
    /// One client for each combination of address, credentials and headers. A client that a reload made superfluous is kept until the process ends, because
    /// running
    /// calls still use it.
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
            // Anthropic's own API accepts only the first header; local hosts that speak its dialect besides others accept the second.
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
