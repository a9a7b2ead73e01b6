namespace Proxy.Transport.Loops;

/// <summary>
/// One loop's connections to a host, idle or in use. Members may be used only on the loop's thread unless they say otherwise.
/// </summary>
internal sealed class OpenConnections(EventLoop loop)
{
    private readonly HashSet<HostConnection> connections = [];
    private long heard;

    /// <summary>The total number of receives that brought bytes. Callable from any thread.</summary>
    public long Heard => Volatile.Read(ref heard);

    public void Add(HostConnection connection) => connections.Add(connection);

    public void Remove(HostConnection connection) => connections.Remove(connection);

    public void Hear() => heard++;

    /// <summary>The host has stopped answering: marks the open connections as suspect. Callable from any thread.</summary>
    public void Suspect() => loop.Post(new Work(this, ending: false));

    /// <summary>
    /// The host answers again: fails the exchanges on suspect connections that have received nothing since, and closes the idle ones. Callable from any
    /// thread.
    /// </summary>
    public void EndSuspects() => loop.Post(new Work(this, ending: true));

    private void EndNow()
    {
        foreach (var connection in (HostConnection[])[.. connections])
        {
            if (connection.IsSilentSuspect) connection.Lose();
            connection.EndSuspicion();
        }
    }

    private sealed class Work(OpenConnections all, bool ending) : ILoopWork
    {
        public void Run()
        {
            if (ending)
            {
                all.EndNow();
                return;
            }

            foreach (var connection in all.connections) connection.Suspect();
        }
    }
}
