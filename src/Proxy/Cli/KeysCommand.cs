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

        var fresh = new Command("new", "Make a key. It is shown once; the configuration holds only its digest.")
        {
            name, models, workspaces, concurrency, rate, admin, json,
        };
        fresh.SetAction(parsed => (int)Run(
            around,
            new() { Name = parsed.GetRequiredValue(name), Sha256 = "", Models = List(parsed.GetValue(models)), Workspaces = List(parsed.GetValue(workspaces)),
                Concurrency = parsed.GetValue(concurrency), RequestsPerMinute = parsed.GetValue(rate), Admin = parsed.GetValue(admin) },
            parsed.GetValue(json)));
        return new("keys", "Manage API keys.") { fresh };
    }

    private static ExitCode Run(Surroundings around, ApiKeyConfig wanted, bool json)
    {
        var key = $"pxy-{RandomNumberGenerator.GetString(Alphabet, Length)}";
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
