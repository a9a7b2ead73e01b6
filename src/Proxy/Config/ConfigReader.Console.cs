namespace Proxy.Config;

internal static partial class ConfigReader
{
    private static readonly Dictionary<string, string> ConsoleHints = new()
    {
        ["key"] = "the console takes any key of [[auth.keys]] that has admin = true",
        ["password"] = "the console takes any key of [[auth.keys]] that has admin = true",
        ["listen"] = "the console is served at /console of every address of [server] listen",
        ["path"] = "the console is always at /console",
    };

    private static ConsoleConfig ReadConsole(SectionReader section) => new() { Enabled = section.Truth("enabled", new ConsoleConfig().Enabled) };
}
