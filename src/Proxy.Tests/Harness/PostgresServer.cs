using Npgsql;

namespace Proxy.Tests.Harness;

/// <summary>
/// A real PostgreSQL on a free port of the loopback, with the user and password <c>postgres</c>. Its data folder outlives <see cref="KillAsync"/> and goes with
/// the server.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    readonly string tree;
    readonly string programs;
    readonly string folder;
    readonly string[] settings;
    TreeProcess? process;
    int databases;

    PostgresServer(string tree, int version, string[] settings)
    {
        this.tree = tree;
        this.settings = settings;
        programs = $"/usr/lib/postgresql/{version}/bin/";
        folder = Directory.CreateTempSubdirectory("proxy-postgres-").FullName;
    }

    public int Port { get; } = ServerTree.FreePort();

    /// <summary>The folder of its unix socket.</summary>
    public string Folder => folder;

    /// <summary>What it wrote since it was last started.</summary>
    public string Output => process?.Output ?? "";

    /// <param name="release">Debian's release, which decides the version: see <see cref="ServerTree"/>.</param>
    /// <param name="files">Files to put into its data folder, such as a certificate and its key.</param>
    /// <param name="settings">Settings, as <c>name=value</c>.</param>
    public static async Task<PostgresServer> StartAsync(
        string release = ServerTree.Usual, IReadOnlyDictionary<string, string>? files = null, params string[] settings)
    {
        var tree = await ServerTree.MadeAsync(release);
        var server = new PostgresServer(tree, ServerTree.PostgresVersion(release), settings);
        try
        {
            await File.WriteAllTextAsync(Path.Combine(server.folder, "password"), "postgres");
            await TreeProcess.RunAsync(tree, server.folder, "postgres", server.programs + "initdb", "-D", "/mnt/data", "-U", "postgres", "--no-sync",
                "--auth=scram-sha-256", "--pwfile=/mnt/password", "--encoding=UTF8", "--locale=C.UTF-8");
            foreach (var (name, text) in files ?? new Dictionary<string, string>())
            {
                var path = Path.Combine(server.folder, "data", name);
                await File.WriteAllTextAsync(path, text);
                File.SetUnixFileMode(path, UnixFileMode.UserRead);
            }

            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>The URI of a database.</summary>
    public string Url(string database = "postgres", string user = "postgres", string password = "postgres") =>
        $"postgres://{user}:{password}@127.0.0.1:{Port}/{database}";

    /// <summary>Makes an empty database and returns its URI.</summary>
    public async Task<string> DatabaseAsync()
    {
        var name = $"test{Interlocked.Increment(ref databases)}";
        await RunAsync($"create database {name}");
        return Url(name);
    }

    /// <summary>Runs statements as the superuser.</summary>
    public async Task RunAsync(string sql, string database = "postgres") => await QueryAsync(sql, database);

    /// <summary>Runs a statement as the superuser and returns the first column of its rows.</summary>
    public async Task<List<object?>> QueryAsync(string sql, string database = "postgres")
    {
        await using var connection = await ConnectAsync(database);
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var values = new List<object?>();
        while (await reader.ReadAsync()) values.Add(reader.IsDBNull(0) ? null : reader.GetValue(0));
        return values;
    }

    /// <summary>Starts it after <see cref="KillAsync"/> or <see cref="StopAsync"/>, with the same port and data, and waits until it answers.</summary>
    public async Task StartAgainAsync()
    {
        if (process is not null) await process.DisposeAsync();
        string[] all = ["listen_addresses=127.0.0.1", $"port={Port}", "unix_socket_directories=/mnt", "fsync=off", "shared_buffers=32MB", .. settings];
        process = TreeProcess.Start(
            tree, folder, "postgres", [programs + "postgres", "-D", "/mnt/data", .. all.SelectMany(setting => new[] { "-c", setting })]);
        await Patience.Until(AnswersAsync, "PostgreSQL answers");
    }

    /// <summary>SIGKILL to all of its processes. Returns when it is gone.</summary>
    public Task KillAsync() => process!.KillAsync();

    /// <summary>An orderly end that does not wait for clients. Returns when it is gone.</summary>
    public async Task StopAsync()
    {
        process!.Signal(2);
        await process.ExitAsync();
    }

    /// <summary>Stops all of its processes without closing their connections, as a machine that hangs does.</summary>
    public void Freeze() => process!.Signal(19, children: true);

    /// <summary>Ends <see cref="Freeze"/>.</summary>
    public void Thaw() => process!.Signal(18, children: true);

    public async ValueTask DisposeAsync()
    {
        if (process is not null) await process.DisposeAsync();
        await Patience.Until(() => Task.FromResult(Deleted()), "PostgreSQL's folder is deleted");
    }

    async Task<NpgsqlConnection> ConnectAsync(string database)
    {
        var connection = new NpgsqlConnection($"Host=127.0.0.1;Port={Port};Username=postgres;Password=postgres;Database={database};Pooling=false;Timeout=5");
        await connection.OpenAsync();
        return connection;
    }

    async Task<bool> AnswersAsync()
    {
        if (process!.HasExited) throw new InvalidOperationException($"PostgreSQL ended at once:\n{Output}");
        try
        {
            await using var connection = await ConnectAsync("postgres");
            return true;
        }
        catch (NpgsqlException)
        {
            return false;
        }
    }

    /// <summary>A process that was killed may still write into the folder while it is being deleted.</summary>
    bool Deleted()
    {
        try
        {
            Directory.Delete(folder, recursive: true);
            return true;
        }
        catch (IOException)
        {
            return !Directory.Exists(folder);
        }
    }
}
