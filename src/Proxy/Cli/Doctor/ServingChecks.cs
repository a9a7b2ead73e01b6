using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using Proxy.Config;

namespace Proxy.Cli.Doctor;

/// <summary>The configuration file, and the proxy that runs with it or is to.</summary>
internal static class ServingChecks
{
    public static IEnumerable<DoctorCheck> Of(Installation installation) =>
    [
        DoctorCheck.Of("config", "the configuration", () => Configuration(installation)),
        new("proxy", "the running proxy", cancellation => ProxyAsync(installation, cancellation)),
    ];

    private static IEnumerable<Finding> Configuration(Installation installation)
    {
        var (file, config) = (installation.File, installation.Config);
        foreach (var problem in installation.Problems)
            yield return new(Mark.Fail, problem.In(file ?? "environment"), "correct the line; `proxy check` reads the file again");
        foreach (var (name, reason) in UnusedVariables.Find(config, installation.Environment))
            yield return new(Mark.Warn, $"{name} is set but not used: {reason}", $"remove {name} from the environment, or change the configuration");
        if (installation.Problems.Count > 0) yield break;
        var keys = config.Auth.Keys.Count > 0 ? Count(config.Auth.Keys.Count, "key")
            : config.Auth.AllowAnonymous ? "serves everyone without a key" : "serves this machine only";
        yield return Finding.Ok($"{file ?? "no file, the environment and the defaults"}: {Count(config.Backends.Count, "backend")}, {keys}");
        if (config.Backends is [{ Url: BackendConfig.BuiltinEcho }])
        {
            yield return new(Mark.Warn, "the only backend is the built-in echo, which repeats what it is told",
                "add a [[backends]] section with the url of a model host");
        }
    }

    private static async ValueTask<IReadOnlyList<Finding>> ProxyAsync(Installation installation, CancellationToken cancellation)
    {
        var (running, server) = (installation.Running, installation.Config.Server);
        if (running.Problem is { } unknown) return [new(Mark.Warn, unknown, "run this command as root or as the user of the proxy")];
        if (running.Pid is { } process && running.ConfigFile() is { } its && installation.File is { } file && Path.GetFullPath(its) != Path.GetFullPath(file))
            return [Finding.Ok(string.Create(CultureInfo.InvariantCulture, $"runs as process {process} with {its}, not with the file that is checked here"))];
        List<Finding> found = running.Pid is { } pid ? [Finding.Ok(string.Create(CultureInfo.InvariantCulture, $"runs as process {pid}"))]
            : [Finding.Ok("is not running")];
        foreach (var text in server.Listen)
        {
            if (!ListenAddress.TryParse(text, out var address, out _)) continue; // a problem of the configuration
            if (running.Pid is not null) found.AddRange(await AnsweredAsync(server, address, cancellation).ConfigureAwait(false));
            else if (IsTaken(address))
            {
                found.Add(new(Mark.Warn, $"something listens at {address}, and it is no proxy of this user",
                    "if it is not systemd's proxy.socket, end it or change [server] listen; `ss -ltnp` names it"));
            }
        }

        return found;
    }

    private static async Task<IReadOnlyList<Finding>> AnsweredAsync(ServerConfig server, ListenAddress address, CancellationToken cancellation)
    {
        if (address.Ip?.Port == 0) return []; // any free port: not known here
        try
        {
            if (await HealthcheckCommand.AskAsync(server, address, "/health", cancellation).ConfigureAwait(false) is not HttpStatusCode.OK)
                return [new(Mark.Fail, $"{address} is not answered by the proxy", "another program has the address: `ss -ltnp` names it")];
            var ready = await HealthcheckCommand.AskAsync(server, address, "/ready", cancellation).ConfigureAwait(false);
            return ready is HttpStatusCode.OK ? [Finding.Ok($"{address} answers and is ready")]
                : [new(Mark.Fail, $"{address} answers, and nothing can answer calls: no host is up, models are being loaded, or it is being drained",
                    "see the lines of the hosts and models; `proxy models` shows what the running proxy has")];
        }
        catch (HttpRequestException e)
        {
            return [new(Mark.Fail, $"{address}: {(e.InnerException ?? e).Message}",
                "the running proxy listens elsewhere: was it started with --listen or by proxy.socket, or was [server] listen changed without a restart?")];
        }
    }

    /// <summary>Whether anything listens there. Looks it up, because a connection would start a service that waits for one.</summary>
    private static bool IsTaken(ListenAddress address) =>
        address.Ip is { Port: > 0 } wanted && IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners()
            .Any(one => one.Port == wanted.Port && (one.Address.Equals(wanted.Address) || IsAny(one.Address) || IsAny(wanted.Address)));

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    private static string Count(int number, string thing) => string.Create(CultureInfo.InvariantCulture, $"{number} {thing}{(number == 1 ? "" : "s")}");
}
