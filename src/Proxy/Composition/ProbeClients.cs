using System.Collections.Concurrent;
using Proxy.Backends;
using Proxy.Transport;

namespace Proxy.Composition;

/// <summary>Asks hosts what they are and what they serve, over connections that no call uses.</summary>
internal sealed class ProbeClients(BackendDirectory directory, TimeProvider time) : IDisposable
{
    private readonly ConcurrentDictionary<Backend, HttpMessageInvoker> clients = new();

    public async Task<HostReport> AskAsync(Backend backend, CancellationToken cancellation)
    {
        var http = Client(backend);
        var before = backend.State is { Report: { } last, Health: var health } && (health is BackendHealth.Up || last.IsSelf) ? last : null;
        var report = await HostProbe.AskAsync(backend.Config, http, before, cancellation, directory.Identity, time);
        // Another proxy's own copy of a model of this process is no reason to go there for it.
        return report.ProxyId is null ? report : report with
        {
            Models = [.. report.Models.Where(model => model.Told is not { End: ModelEnd.Process } || directory.Embedders.Find(model.Name) is null)],
        };
    }

    /// <summary>What the host says in its own metrics; null: it has none, or does not answer in time.</summary>
    public async Task<HostFigures?> FiguresAsync(Backend backend, CancellationToken cancellation) =>
        HostFigures.Read(await new HostQuestions(backend.Config, Client(backend), null, time, cancellation).TextAsync("/metrics").ConfigureAwait(false));

    /// <summary>Closes the connections to backends that a reload removed.</summary>
    public void Prune()
    {
        foreach (var gone in clients.Keys.Except(directory.Table.All))
        {
            if (clients.TryRemove(gone, out var client)) client.Dispose();
        }
    }

    private HttpMessageInvoker Client(Backend backend) =>
        clients.GetOrAdd(backend, static (b, time) => HostHttp.Create(BackendDirectory.Target(b.Config), time), time);

    public void Dispose()
    {
        foreach (var client in clients.Values) client.Dispose();
    }
}
