using Tmds.DBus.Protocol;

namespace Proxy.Workflows.Systemd;

/// <summary>One connection to systemd. Its methods fail with a <see cref="DBusExceptionBase"/>, or with an <see cref="ObjectDisposedException"/>.</summary>
internal sealed class SystemdLink : IDisposable
{
    private const string Destination = "org.freedesktop.systemd1";
    private const string Root = "/org/freedesktop/systemd1";
    private const string Manager = "org.freedesktop.systemd1.Manager";
    private const string Properties = "org.freedesktop.DBus.Properties";

    private readonly DBusConnection connection;

    private SystemdLink(DBusConnection connection) => (this.connection, Closed) = (connection, connection.DisconnectedAsync());

    /// <summary>Completes when the connection is lost or disposed. Never fails.</summary>
    public Task Closed { get; }

    public static async Task<SystemdLink> OpenAsync(string socket)
    {
        var connection = new DBusConnection($"unix:path={socket}");
        try
        {
            await connection.ConnectAsync().ConfigureAwait(false);
            var link = new SystemdLink(connection);
            // Without it, systemd sends no signals about units.
            await connection.CallMethodAsync(link.Call("Subscribe")).ConfigureAwait(false);
            return link;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>Starts a unit. Returns when the start is queued, long before a unit of the type "oneshot" has started.</summary>
    public Task StartAsync(string unit) => connection.CallMethodAsync(Call("StartUnit", unit, "replace"));

    /// <summary>Asks for a unit's end. Returns when the stop is queued.</summary>
    public Task StopAsync(string unit) => connection.CallMethodAsync(Call("StopUnit", unit, "replace"));

    /// <summary>The object of a unit, which need not run or exist.</summary>
    public Task<string> PathAsync(string unit) =>
        connection.CallMethodAsync(Call("LoadUnit", unit), static (Message message, object? _) => message.GetBodyReader().ReadObjectPathAsString(), null);

    /// <summary>Reads a service's properties.</summary>
    public async Task ReadAsync(string path, UnitState into)
    {
        foreach (var part in (string[])["Unit", "Service"])
            await connection.CallMethodAsync(Call("GetAll", $"{Destination}.{part}", path: path, of: Properties), TakeAll, into).ConfigureAwait(false);

        static UnitState TakeAll(Message message, object? state)
        {
            var reader = message.GetBodyReader();
            return Take(ref reader, (UnitState)state!);
        }
    }

    /// <summary>Follows a unit until what is returned is disposed. The callbacks come one after the other, and must not block or throw.</summary>
    /// <param name="unit">The unit's name.</param>
    /// <param name="path">Its object.</param>
    /// <param name="state">Takes the properties that change.</param>
    /// <param name="changed">Told that properties have changed.</param>
    /// <param name="jobEnded">Told the result of a start or stop that is over.</param>
    public async Task<IDisposable[]> WatchAsync(string unit, string path, UnitState state, Action changed, Action<string> jobEnded)
    {
        var properties = await connection.WatchSignalAsync(
            Destination, path, Properties, "PropertiesChanged", TakeChanged, notification =>
            {
                if (notification.HasValue) changed();
            }, ObserverFlags.None, emitOnCapturedContext: false, state).ConfigureAwait(false);
        var jobs = await connection.WatchSignalAsync(
            Destination, Root, Manager, "JobRemoved", ResultOf, notification =>
            {
                if (notification is { HasValue: true, Value: { Length: > 0 } result }) jobEnded(result);
            }, ObserverFlags.None, emitOnCapturedContext: false, unit).ConfigureAwait(false);
        return [properties, jobs];

        static UnitState TakeChanged(Message message, object? state)
        {
            var reader = message.GetBodyReader();
            reader.ReadString(); // whose properties they are
            return Take(ref reader, (UnitState)state!);
        }

        static string ResultOf(Message message, object? unit)
        {
            var reader = message.GetBodyReader();
            reader.ReadUInt32();
            reader.ReadObjectPathAsString();
            return reader.ReadString() == (string)unit! ? reader.ReadString() : "";
        }
    }

    /// <summary>The names between <c>@</c> and <c>.service</c> of all units that run, or wait for it.</summary>
    public Task<HashSet<string>> InstancesAsync()
    {
        using var writer = connection.GetMessageWriter();
        writer.WriteMethodCallHeader(Destination, Root, Manager, "ListUnitsByPatterns", "asas");
        writer.WriteArray((string[])[]);
        writer.WriteArray((string[])["*@*.service"]);
        return connection.CallMethodAsync(writer.CreateMessage(), Read, null);

        static HashSet<string> Read(Message message, object? _)
        {
            var found = new HashSet<string>();
            var reader = message.GetBodyReader();
            var end = reader.ReadArrayStart(DBusType.Struct);
            while (reader.HasNext(end))
            {
                reader.AlignStruct();
                var unit = reader.ReadString();
                reader.ReadString();
                reader.ReadString();
                var active = reader.ReadString();
                reader.ReadString();
                reader.ReadString();
                reader.ReadObjectPathAsString();
                var waits = reader.ReadUInt32() != 0;
                reader.ReadString();
                reader.ReadObjectPathAsString();
                if (waits || active is not ("inactive" or "failed")) found.Add(unit[(unit.IndexOf('@') + 1)..^".service".Length]);
            }

            return found;
        }
    }

    public void Dispose() => connection.Dispose();

    private static UnitState Take(ref Reader reader, UnitState into)
    {
        lock (into)
        {
            var end = reader.ReadDictionaryStart();
            while (reader.HasNext(end))
            {
                var name = reader.ReadString();
                var value = reader.ReadVariantValue();
                switch (name)
                {
                    case "LoadState": into.Load = value.GetString(); break;
                    case "ActiveState": into.Active = value.GetString(); break;
                    case "SubState": into.Sub = value.GetString(); break;
                    case "Job": into.HasJob = value.GetItem(0).GetUInt32() != 0; break;
                    case "Result": into.Result = value.GetString(); break;
                    case "ExecMainCode": into.WasKilled = value.GetInt32() > 1; break; // 1: it exited
                    case "ExecMainStatus": into.Status = value.GetInt32(); break;
                    case "Restart": into.Restart = value.GetString(); break;
                    case "StandardInput": into.Input = value.GetString(); break;
                }
            }
        }

        return into;
    }

    private MessageBuffer Call(string method, string? first = null, string? second = null, string path = Root, string of = Manager)
    {
        using var writer = connection.GetMessageWriter();
        writer.WriteMethodCallHeader(Destination, path, of, method, first is null ? null : second is null ? "s" : "ss");
        if (first is not null) writer.WriteString(first);
        if (second is not null) writer.WriteString(second);
        return writer.CreateMessage();
    }
}
