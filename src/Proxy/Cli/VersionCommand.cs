using System.CommandLine;
using System.IO.Compression;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Proxy.Cli;

/// <summary><c>proxy version</c>.</summary>
internal static class VersionCommand
{
    /// <summary>
    /// The licences and notices of everything that is linked into the program, in the order in which they are printed. A debug build may lack one.
    /// </summary>
    private static readonly (string Resource, string Title)[] Notices =
    [
        ("copyright", "Parts of this program and their copyright"),
        ("apache-2.0", "Apache License 2.0"),
        ("onnxruntime.notices.br", "Notices of ONNX Runtime"),
        ("dotnet.notices.br", "Notices of .NET"),
    ];

    /// <summary>The version, with the commit if it was known at the build.</summary>
    public static string Version { get; } =
        typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0.0.0";

    public static Command Make(Surroundings around)
    {
        var json = ProxyCommand.Json();
        var licenses = new Option<bool>("--licenses") { Description = "Print the licences and notices of everything that is linked into the program." };
        var command = new Command("version", "Print the version.") { json, licenses };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(licenses))
            {
                Print(around.Output);
                return (int)ExitCode.Ok;
            }

            var info = new VersionInfo(Version, RuntimeInformation.FrameworkDescription, RuntimeInformation.RuntimeIdentifier);
            around.Output.WriteLine(
                parsed.GetValue(json) ? JsonSerializer.Serialize(info, CliJson.Print.VersionInfo) : $"proxy {info.Version} ({info.Platform}, {info.Runtime})");
            return (int)ExitCode.Ok;
        });
        return command;
    }

    private static void Print(TextWriter output)
    {
        foreach (var (resource, title) in Notices)
        {
            using var stored = typeof(VersionCommand).Assembly.GetManifestResourceStream(resource);
            if (stored is null) continue;
            using var text = new StreamReader(
                resource.EndsWith(".br", StringComparison.Ordinal) ? new BrotliStream(stored, CompressionMode.Decompress) : stored);
            output.WriteLine($"==== {title} ====\n");
            output.WriteLine(text.ReadToEnd());
        }
    }
}
