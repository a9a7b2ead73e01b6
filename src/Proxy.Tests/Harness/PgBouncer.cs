using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>A real PgBouncer before a PostgreSQL, in transaction mode: two sessions of the server for any number of clients.</summary>
internal sealed class PgBouncer : IAsyncDisposable
{
    readonly TreeProcess process;
    readonly string folder;

    PgBouncer(TreeProcess process, string folder, int port)
    {
        this.process = process;
        this.folder = folder;
        Port = port;
    }

    public int Port { get; }

    public static async Task<PgBouncer> StartAsync(PostgresServer server)
    {
        var tree = await ServerTree.MadeAsync(ServerTree.Usual);
        var (folder, port) = (Directory.CreateTempSubdirectory("proxy-pgbouncer-").FullName, ServerTree.FreePort());
        await File.WriteAllTextAsync(Path.Combine(folder, "users.txt"), "\"postgres\" \"postgres\"\n");
        await File.WriteAllTextAsync(Path.Combine(folder, "pgbouncer.ini"), $"""
            [databases]
            * = host=127.0.0.1 port={server.Port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = /mnt/users.txt
            pool_mode = transaction
            default_pool_size = 2
            max_prepared_statements = 0
            """);
        var bouncer = new PgBouncer(TreeProcess.Start(tree, folder, "postgres", "/usr/sbin/pgbouncer", "/mnt/pgbouncer.ini"), folder, port);
        await Patience.Until(bouncer.AnswersAsync, "PgBouncer answers");
        return bouncer;
    }

    public async ValueTask DisposeAsync()
    {
        await process.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    async Task<bool> AnswersAsync()
    {
        if (process.HasExited) throw new InvalidOperationException($"PgBouncer ended at once:\n{process.Output}");

        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync("127.0.0.1", Port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
