namespace Proxy.Transport.Loops;

/// <summary>One loop's connections to a host, idle or in use. Members are for the loop's thread unless they say otherwise.</summary>
internal sealed class OpenConnections(EventLoop loop)
{
    private readonly HashSet<HostConnection> connections = [];
    private long heard;

    /// <summary>Receives that brought bytes, ever. May be asked from any thread.</summary>
    public long Heard => Volatile.Read(ref heard);

    public void Add(HostConnection connection) => connections.Add(connection);

    public void Remove(HostConnection connection) => connections.Remove(connection);

    public void Hear() => heard++;

    /// <summary>The host has stopped answering: remembers which connections there are. Any thread.</summary>
    public void Suspect() => loop.Post(new Work(this, ending: false));

    /// <summary>The host is back: ends what runs on suspects that have brought nothing since. Any thread.</summary>
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
