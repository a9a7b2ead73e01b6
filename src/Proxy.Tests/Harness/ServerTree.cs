using System.Net;
using System.Net.Sockets;

namespace Proxy.Tests.Harness;

/// <summary>Debian releases with PostgreSQL, pgvector (from Debian 13 on), PgBouncer and nats-server. Making one takes a minute.</summary>
internal static class ServerTree
{
    /// <summary>Debian 12: PostgreSQL 15, nats-server 2.9.</summary>
    public const string Oldest = "bookworm";

    /// <summary>Debian 13: PostgreSQL 17, nats-server 2.10. Most tests use these.</summary>
    public const string Usual = "trixie";

    /// <summary>The next Debian: PostgreSQL 18, nats-server 2.12 or newer.</summary>
    public const string Newest = "forky";

    /// <summary>PostgreSQL's major version in a release.</summary>
    public static int PostgresVersion(string release) => release switch
    {
        Oldest => 15,
        Usual => 17,
        Newest => 18,
        _ => throw new ArgumentOutOfRangeException(nameof(release)),
    };

    /// <summary>The release as a folder; skips the test if it cannot be made.</summary>
    public static Task<string> MadeAsync(string release)
    {
        DebianTree.RequireTree();
        var postgres = $"postgresql-{PostgresVersion(release)}";
        string[] vector = release == Oldest ? [] : [postgres + "-pgvector"];
        return DebianTree.WithPackagesAsync($"servers-{release}", release, [postgres, .. vector, "pgbouncer", "nats-server"]);
    }

    /// <summary>A port of the loopback that was free a moment ago.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
