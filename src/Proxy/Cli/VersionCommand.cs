using System.CommandLine;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Proxy.Cli;

/// <summary><c>proxy version</c>.</summary>
internal static class VersionCommand
{
    /// <summary>The version that was built, with the commit where the build knew it.</summary>
    public static string Version { get; } =
        typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0.0.0";

    public static Command Make(Surroundings around)
    {
        var json = ProxyCommand.Json();
        var command = new Command("version", "Print the version.") { json };
        command.SetAction(parsed =>
        {
            var info = new VersionInfo(Version, RuntimeInformation.FrameworkDescription, RuntimeInformation.RuntimeIdentifier);
            around.Output.WriteLine(parsed.GetValue(json) ? JsonSerializer.Serialize(info, CliJson.Print.VersionInfo) : $"proxy {info.Version} ({info.Platform}, {info.Runtime})");
            return (int)ExitCode.Ok;
        });
        return command;
    }
}
