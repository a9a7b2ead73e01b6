using System.CommandLine;
using System.Text;

namespace Proxy.Cli;

/// <summary><c>proxy man</c>: prints the manual page, made from the commands themselves. The package installs it as proxy(1).</summary>
internal static class ManCommand
{
    private static readonly (string Path, string Use)[] Files =
    [
        ("/etc/proxy/config.toml", "The configuration of the packaged service. /usr/share/doc/proxy has an example of every setting."),
        ("/var/lib/proxy", "Records, workspaces of documents, downloaded models ($STATE_DIRECTORY)."),
        ("/var/cache/proxy", "Unpacked libraries ($CACHE_DIRECTORY)."),
        ("/run/proxy/admin.sock", "The socket by which commands reach the running proxy ($PROXY_ADMIN_SOCKET)."),
    ];

    private static readonly (string Name, string Use)[] Variables =
    [
        ("PROXY_CONFIG", "The configuration file."),
        ("PROXY_LISTEN", "Addresses to listen on, separated by commas. Used only without a file, as are the next four."),
        ("PROXY_API_KEY", "The key that clients need."),
        ("PROXY_ALLOW_ANONYMOUS", "true also serves callers without a key from other machines."),
        ("LLM_BASE_URL", "The url of the model host."),
        ("LLM_API_KEY", "The credential for the model host."),
        ("DATABASE_URL", "PostgreSQL's address, unless the file has one."),
        ("NATS_URL", "The NATS servers, unless the file has them."),
        ("STATE_DIRECTORY", "The folder of what the proxy keeps."),
        ("CACHE_DIRECTORY", "The folder of unpacked libraries."),
        ("SSL_CERT_FILE", "Certificate authorities to trust, instead of the machine's. SSL_CERT_DIR names a folder of them."),
        ("NO_COLOR", "If set, nothing is coloured."),
    ];

    public static Command Make(Surroundings around)
    {
        var command = new Command("man", "Print the manual page: `proxy man | man -l -`.");
        command.SetAction(parsed =>
        {
            around.Output.Write(Page(parsed.RootCommandResult.Command));
            return (int)ExitCode.Ok;
        });
        return command;
    }

    /// <summary>The page in roff.</summary>
    internal static string Page(Command root)
    {
        var version = VersionCommand.Version.Split('+')[0]; // without the commit
        var page = new StringBuilder($".TH PROXY 1 \"\" \"proxy {version}\" \"User Commands\"\n");
        page.Append(".SH NAME\nproxy \\- front door to local LLM hosts\n");
        page.Append(".SH SYNOPSIS\n.B proxy\n.I COMMAND\n.RI [ OPTION ]...\n");
        page.Append(".SH DESCRIPTION\n").Append(Paragraphs(root.Description)).Append(".SH COMMANDS\n");
        foreach (var verb in root.Subcommands) Describe(page, verb, "proxy");
        page.Append(".SH COMMON OPTIONS\n");
        foreach (var option in root.Options.Where(static option => option.Recursive)) Describe(page, option);
        Describe(page, "FILES", Files);
        Describe(page, "ENVIRONMENT", Variables);
        return page.Append(".SH SEE ALSO\nThe pages in /usr/share/doc/proxy, operations.md first.\n").ToString();
    }

    /// <summary>A verb and those below it.</summary>
    private static void Describe(StringBuilder page, Command verb, string before)
    {
        if (verb.Hidden) return;
        var name = $"{before} {verb.Name}";
        if (verb.Subcommands.Count == 0 || verb.Action is not null)
        {
            page.Append(".SS \"").Append(Text(name));
            foreach (var argument in verb.Arguments)
                page.Append(' ').Append(Text(argument.Arity.MinimumNumberOfValues == 0 ? $"[{argument.Name}]" : argument.Name))
                    .Append(argument.Arity.MaximumNumberOfValues > 1 ? "..." : "");
            if (verb.Options.Any(static option => !option.Hidden)) page.Append(" [OPTION]...");
            page.Append("\"\n").Append(Paragraphs(verb.Description));
            foreach (var argument in verb.Arguments) Item(page, $"\\fI{Text(argument.Name)}\\fR", argument.Description);
            foreach (var option in verb.Options) Describe(page, option);
        }

        foreach (var below in verb.Subcommands) Describe(page, below, name);
    }

    private static void Describe(StringBuilder page, Option option)
    {
        if (option.Hidden) return;
        var names = string.Join(", ", option.Aliases.Prepend(option.Name).Distinct().OrderBy(static name => name.Length)
            .Select(static name => $"\\fB{Text(name)}\\fR"));
        Item(page, option.HelpName is { } value ? $"{names} \\fI{Text(value)}\\fR" : names, option.Description);
    }

    private static void Describe(StringBuilder page, string title, (string Name, string Use)[] all)
    {
        page.Append(".SH ").Append(title).Append('\n');
        foreach (var (name, use) in all) Item(page, Text(name), use);
    }

    private static void Item(StringBuilder page, string head, string? text) =>
        page.Append(".TP\n").Append(head).Append('\n').Append(Paragraphs(text ?? "-"));

    /// <summary>A line each; an empty line begins a paragraph.</summary>
    private static string Paragraphs(string? text)
    {
        var lines = new StringBuilder();
        foreach (var line in (text ?? "").Split('\n'))
            lines.Append(line.Trim() is { Length: > 0 } words ? (words[0] is '.' or '\'' ? "\\&" : "") + Text(words) : ".PP").Append('\n');
        return lines.ToString();
    }

    /// <summary>A hyphen is written as a minus, so that it can be copied into a shell.</summary>
    private static string Text(string text) =>
        text.Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal).Replace("\"", "\\(dq", StringComparison.Ordinal);
}
