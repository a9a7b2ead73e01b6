using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>
/// A real nats-server with JetStream on a free port of the loopback. Its data folder outlives <see cref="KillAsync"/> and goes with the server.
/// </summary>
internal sealed class NatsServer : IAsyncDisposable
{
    readonly string tree;
    readonly string folder;
    TreeProcess? process;

    NatsServer(string tree, string folder, int port)
    {
        this.tree = tree;
        this.folder = folder;
        Port = port;
    }

    public int Port { get; }

    /// <summary>Its address without a user.</summary>
    public string Url => $"nats://127.0.0.1:{Port}";

    /// <summary>What it wrote since it was last started.</summary>
    public string Output => process?.Output ?? "";

    /// <param name="release">Debian's release, which decides the version: see <see cref="ServerTree"/>.</param>
    /// <param name="config">More lines of its configuration file, such as users, limits or TLS. A file is found as <c>/mnt/NAME</c>.</param>
    /// <param name="jetStream">False: a server that has core NATS only.</param>
    /// <param name="files">Files that the configuration names.</param>
    public static async Task<NatsServer> StartAsync(
        string release = ServerTree.Usual, string config = "", bool jetStream = true, IReadOnlyDictionary<string, string>? files = null)
    {
        var tree = await ServerTree.MadeAsync(release);
        var server = new NatsServer(tree, Directory.CreateTempSubdirectory("proxy-nats-").FullName, ServerTree.FreePort());
        foreach (var (name, text) in files ?? new Dictionary<string, string>()) await File.WriteAllTextAsync(Path.Combine(server.folder, name), text);
        await File.WriteAllTextAsync(Path.Combine(server.folder, "nats.conf"), $$"""
            listen: "127.0.0.1:{{server.Port}}"
            {{(jetStream ? """jetstream { store_dir: "/mnt/jetstream" }""" : "")}}
            {{config}}
            """);
        try
        {
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it after <see cref="KillAsync"/> or <see cref="StopAsync"/>, with the same port and data, and waits until it answers.</summary>
    public async Task StartAgainAsync()
    {
        if (process is not null) await process.DisposeAsync();
        process = TreeProcess.Start(tree, folder, "nobody", "/usr/sbin/nats-server", "-c", "/mnt/nats.conf");
        await Patience.Until(AnswersAsync, "nats-server answers");
    }

    /// <summary>SIGKILL. Returns when it is gone.</summary>
    public Task KillAsync() => process!.KillAsync();

    /// <summary>An orderly end. Returns when it is gone.</summary>
    public async Task StopAsync()
    {
        process!.Signal(2);
        await process.ExitAsync();
    }

    /// <summary>Stops it without closing its connections, as a host that hangs does.</summary>
    public void Freeze() => process!.Signal(19);

    /// <summary>Ends <see cref="Freeze"/>.</summary>
    public void Thaw() => process!.Signal(18);

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await process.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    async Task<bool> AnswersAsync()
    {
        if (process!.HasExited) throw new InvalidOperationException($"nats-server ended at once:\n{Output}");

        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync("127.0.0.1", Port);
            return await socket.ReceiveAsync(new byte[4]) > 0; // it speaks first: INFO
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
