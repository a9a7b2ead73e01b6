using System.CommandLine;
using System.Text.Json;
using Proxy.Config;
using Proxy.Inference;

namespace Proxy.Cli;

/// <summary><c>proxy check [FILE]</c>: every problem of a configuration, or what it comes to. Asks no host.</summary>
internal static class CheckCommand
{
    public static Command Make(Surroundings around, Option<string?> config)
    {
        var file = new Argument<string?>("FILE") { Description = "The file to look over; the one that serve would read if left out.", Arity = ArgumentArity.ZeroOrOne };
        var json = ProxyCommand.Json();
        var command = new Command("check", "Print every problem of the configuration, with its line, or what it comes to.") { file, json };
        command.SetAction(parsed => (int)Run(around, parsed.GetValue(file) ?? parsed.GetValue(config), parsed.GetValue(json)));
        return command;
    }

    private static ExitCode Run(Surroundings around, string? named, bool json)
    {
        var path = ConfigFile.Find(named, around.Environment);
        var result = ConfigFile.Load(path, around.Sources);
        if (json)
            around.Output.WriteLine(JsonSerializer.Serialize(new CheckResult(result.Config is not null, path, [.. result.Problems.Select(ProblemRow.From)]), CliJson.Print.CheckResult));
        else if (result.Config is { } config)
            Summarise(around.Output, path, config);
        else
            around.Tell(path, result.Problems);
        return result.Config is null ? ExitCode.ConfigProblem : ExitCode.Ok;
    }

    private static void Summarise(TextWriter output, string? path, ProxyConfig config)
    {
        output.WriteLine($"{path ?? "no file, the defaults"}: ok");
        output.WriteLine($"  listens on  {string.Join(", ", config.Server.Listen)}{(config.Server.Tls is null ? "" : " (TLS)")}");
        foreach (var backend in config.Backends)
            output.WriteLine($"  backend     {backend.Name}: {backend.Url} ({Dialects(backend)}){(backend.Name == config.DefaultBackend ? ", default" : "")}");
        foreach (var model in config.Inference.Models)
            output.WriteLine($"  model       {model.Name}: {model.Path}");
        if (config.Inference.Bundled) output.WriteLine($"  model       {LocalModels.BundledName}: inside this program");
        if (config.Aliases.Count > 0) output.WriteLine($"  aliases     {string.Join(", ", config.Aliases.Select(alias => $"{alias.Key} = {alias.Value}"))}");
        output.WriteLine($"  keys        {(config.Auth.Keys.Count > 0 ? string.Join(", ", config.Auth.Keys.Select(key => key.Name)) : config.Auth.AllowAnonymous ? "none: serves anyone" : "none: serves this machine alone")}");
    }

    private static string Dialects(BackendConfig backend) =>
        backend.Url == BackendConfig.BuiltinEcho ? "inside this program, in every dialect"
        : backend.Dialects is { } dialects ? string.Join(", ", dialects.Select(DialectNames.Name))
        : "which dialects, the host is asked";
}
