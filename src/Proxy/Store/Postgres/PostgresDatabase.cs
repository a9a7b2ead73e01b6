using System.Data.Common;
using System.Net.Sockets;
using System.Security.Authentication;
using Npgsql;
using Proxy.Config;
using Proxy.Streams;

namespace Proxy.Store.Postgres;

/// <summary>
/// A pool of connections. It leaves no state in a session and prepares no statement that outlives its transaction, so PgBouncer may hand a session from one
/// transaction to another. Failures that another try can cure get one: a connection that PostgreSQL closed while it was idle, and a deadlock.
/// </summary>
internal sealed class PostgresDatabase : IAsyncDisposable
{
    private const int MostTries = 5;

    private readonly NpgsqlDataSource source;

    /// <summary>Connects to nothing yet. Throws <see cref="StoreException"/> if the address cannot be read.</summary>
    public PostgresDatabase(string url)
    {
        if (!PostgresUrl.TryParse(url, out var settings, out var problem)) throw new StoreException($"PostgreSQL's url: {problem}");
        try
        {
            var address = new NpgsqlConnectionStringBuilder(settings.Count == 0 ? url : "");
            foreach (var (name, value) in settings) address[name] = value;
            source = Open(address);
            Address = address.Host?.Contains(':', StringComparison.Ordinal) is true ? $"{address.Host}/{address.Database}"
                : $"{address.Host}:{address.Port}/{address.Database}";
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidCastException or OverflowException or NotSupportedException)
        {
            // The exception's own text may show the value, which may be the password.
            throw new StoreException("PostgreSQL's url has a value that cannot be used; write \"postgres://USER:PASSWORD@HOST:5432/DATABASE\"");
        }
    }

    /// <summary>Host, port and database, for messages.</summary>
    public string Address { get; }

    /// <summary>Runs work on a connection, and again if another try can cure its failure. Every failure is a <see cref="StoreException"/>.</summary>
    public async ValueTask<T> RunAsync<T>(Func<NpgsqlConnection, CancellationToken, Task<T>> work, CancellationToken cancellation)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var connection = await source.OpenConnectionAsync(cancellation).ConfigureAwait(false);
                await using var closed = connection.ConfigureAwait(false);
                return await work(connection, cancellation).ConfigureAwait(false);
            }
            catch (PostgresException e) when (IsConflict(e) && attempt < MostTries)
            {
            }
            catch (NpgsqlException e) when (attempt == 1 && IsClosed(e))
            {
                source.Clear(); // PostgreSQL was restarted: the other idle connections are dead too
            }
            catch (Exception e) when (e is DbException or IOException or SocketException or TimeoutException or AuthenticationException)
            {
                throw Failure(e);
            }
        }
    }

    public ValueTask DisposeAsync() => source.DisposeAsync();

    private static NpgsqlDataSource Open(NpgsqlConnectionStringBuilder address)
    {
        address.NoResetOnClose = true;
        address.MaxAutoPrepare = 0;
        address.Multiplexing = false;
        address.Enlist = false;
        address.IncludeErrorDetail = false; // it shows values of rows
        if (!address.ShouldSerialize("Maximum Pool Size")) address.MaxPoolSize = 8;
        if (!address.ShouldSerialize("Timeout")) address.Timeout = 5;
        if (!address.ShouldSerialize("Command Timeout")) address.CommandTimeout = 10;
        if (string.IsNullOrEmpty(address.ApplicationName)) address.ApplicationName = "proxy";
        if (address.Host?.Contains(',', StringComparison.Ordinal) is true && address.TargetSessionAttributes is null)
            address.TargetSessionAttributes = "read-write";
        var builder = new NpgsqlSlimDataSourceBuilder(address.ConnectionString);
        builder.EnableArrays();
        builder.EnableTransportSecurity();
        return builder.Build();
    }

    /// <summary>Whether another transaction was in the way.</summary>
    private static bool IsConflict(PostgresException e) => e.SqlState is PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure;

    /// <summary>Whether the connection ended, or PostgreSQL said that it would end it.</summary>
    private static bool IsClosed(NpgsqlException e) => e is PostgresException said
        ? said.SqlState is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
        : e.InnerException is IOException or EndOfStreamException or SocketException { SocketErrorCode: not SocketError.ConnectionRefused };

    private StoreException Failure(Exception e)
    {
        if (e is not PostgresException said)
        {
            var cause = e.InnerException is SocketException or AuthenticationException ? e.InnerException : e;
            return new($"PostgreSQL at {Address} cannot be reached: {cause.Message}", e);
        }

        // Class 22: the data; 23: a constraint; 54: a limit of the program.
        var isRefused = said.SqlState is ['2', '2' or '3', ..] or ['5', '4', ..];
        return new($"PostgreSQL at {Address}: {said.MessageText} ({said.SqlState})", e) { IsRefusal = isRefused };
    }
}
