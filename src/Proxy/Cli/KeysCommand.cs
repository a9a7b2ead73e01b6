using System.CommandLine;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Proxy.Config;

namespace Proxy.Cli;

/// <summary><c>proxy keys new NAME</c>: makes a key, shows it once, and prints the configuration section for it.</summary>
internal static class KeysCommand
{
    /// <summary>Letters and digits only: a double click selects the whole key, and no shell or URL needs it escaped.</summary>
    private const string Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>As long as 32 random bytes need: 62^43 > 2^256.</summary>
    private const int Length = 43;

    public static Command Make(Surroundings around)
    {
        var name = new Argument<string>("NAME") { Description = "The key's name in logs and metrics." };
        name.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && ConfigRules.KeyNameProblem(result.Tokens[0].Value) is { } problem) result.AddError(problem);
        });
        var models =
            new Option<string?>("--models") { Description = "Models the key may use, globs too, separated by commas. If left out, all.", HelpName = "A,B" };
        var workspaces = new Option<string?>("--workspaces")
        {
            Description = "Workspaces the key may use, globs too, separated by commas. If left out, its own and those made on the command line.",
            HelpName = "A,B",
        };
        var concurrency = new Option<int?>("--concurrency") { Description = "Calls it may have running at once.", HelpName = "N" };
        var rate = new Option<int?>("--requests-per-minute") { Description = "Calls it may start in a minute.", HelpName = "N" };
        foreach (var limit in new[] { concurrency, rate })
            limit.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int?>() < 1) result.AddError($"{limit.Name} takes a number of 1 or more.");
            });
        var admin = new Option<bool>("--admin") { Description = "It may see and change what belongs to other keys." };
        var json = ProxyCommand.Json();
        var file = new Option<string?>("--env-file")
        {
            Description = "Write the key into this file as PROXY_API_KEY, for compose.yaml and a proxy without a file, and do not show it.", HelpName = "FILE",
        };
        file.Validators.Add(result =>
        {
            Option[] others = [models, workspaces, concurrency, rate, admin, json];
            if (Array.Find(others, option => result.GetResult(option) is { Implicit: false }) is { } other)
                result.AddError($"--env-file takes no {other.Name}: a key of the environment has no limits.");
        });

        var fresh = new Command("new", "Make a key. It is shown once; the configuration holds only its digest.")
        {
            name, models, workspaces, concurrency, rate, admin, json, file,
        };
        fresh.SetAction(parsed => (int)(parsed.GetValue(file) is { } path ? WriteEnvironment(around, path) : Run(
            around,
            new() { Name = parsed.GetRequiredValue(name), Sha256 = "", Models = List(parsed.GetValue(models)), Workspaces = List(parsed.GetValue(workspaces)),
                Concurrency = parsed.GetValue(concurrency), RequestsPerMinute = parsed.GetValue(rate), Admin = parsed.GetValue(admin) },
            parsed.GetValue(json))));
        return new("keys", "Manage API keys.") { fresh };
    }

    /// <summary>Adds the key to a file of variables, which only its owner may read. Never replaces one that is there.</summary>
    private static ExitCode WriteEnvironment(Surroundings around, string path)
    {
        const string Variable = "PROXY_API_KEY=";
        try
        {
            var before = File.Exists(path) ? File.ReadAllText(path) : "";
            if (before.Split('\n').Any(static line => line.StartsWith(Variable, StringComparison.Ordinal)))
            {
                around.Error.WriteLine($"{path} has a PROXY_API_KEY already; remove the line to make another");
                return ExitCode.Failed;
            }

            var options = new FileStreamOptions
            {
                Mode = FileMode.Append, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            };
            using var file = new StreamWriter(path, options);
            if (before.Length > 0 && !before.EndsWith('\n')) file.Write('\n');
            file.Write($"{Variable}{NewKeyText()}\n");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            around.Error.WriteLine($"{path}: {e.Message}");
            return ExitCode.Failed;
        }

        around.Output.WriteLine($"{path} has the key now, as PROXY_API_KEY");
        return ExitCode.Ok;
    }

    private static string NewKeyText() => $"pxy-{RandomNumberGenerator.GetString(Alphabet, Length)}";

    private static ExitCode Run(Surroundings around, ApiKeyConfig wanted, bool json)
    {
        var key = NewKeyText();
        var (name, digest) = (wanted.Name, ApiKeyConfig.Digest(key));
        var toml = Toml(wanted with { Sha256 = digest });
        if (json)
        {
            around.Output.WriteLine(JsonSerializer.Serialize(new NewKey(name, key, digest, toml), CliJson.Print.NewKey));
            return ExitCode.Ok;
        }

        around.Output.WriteLine($"{key}\n");
        around.Output.WriteLine($"# The key above is shown only once: give it to {name}. Add the section below to config.toml, then run `proxy reload`.");
        around.Output.Write(toml);
        return ExitCode.Ok;
    }

    private static string[] List(string? said) => said?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    private static string Toml(ApiKeyConfig key)
    {
        var toml = new StringBuilder($"[[auth.keys]]\nname = \"{key.Name}\"\nsha256 = \"{key.Sha256}\"\n");
        if (key.Admin) toml.Append("admin = true\n");
        if (key.Models.Count > 0) toml.Append("models = [").AppendJoin(", ", key.Models.Select(Quoted)).Append("]\n");
        if (key.Workspaces.Count > 0) toml.Append("workspaces = [").AppendJoin(", ", key.Workspaces.Select(Quoted)).Append("]\n");
        if (key.Concurrency is { } calls) toml.Append("concurrency = ").Append(calls).Append('\n');
        if (key.RequestsPerMinute is { } starts) toml.Append("requests_per_minute = ").Append(starts).Append('\n');
        return toml.ToString();
    }

    private static string Quoted(string text) =>
        '"' + text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)
            .Replace("${", "$${", StringComparison.Ordinal) + '"';
}
