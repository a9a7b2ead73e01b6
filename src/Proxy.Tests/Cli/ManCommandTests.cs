using System.Text.RegularExpressions;
using Proxy.Cli;
using Proxy.Tests.Rules;

namespace Proxy.Tests.Cli;

public sealed partial class ManCommandTests : IDisposable
{
    private readonly CommandLine proxy = new();

    public void Dispose() => proxy.Dispose();

    [Fact]
    public async Task Page_Has_every_command_and_every_option()
    {
        var (code, page, _) = await proxy.RunAsync("man");

        Assert.Equal(ExitCode.Ok, code);
        foreach (var head in (string[])["serve [OPTION]...", "check [FILE] [OPTION]...", "keys new NAME [OPTION]...", "completion SHELL", "man"])
            Assert.Contains($".SS \"proxy {head}\"\n", page, StringComparison.Ordinal);
        Assert.Contains(".TP\n\\fB\\-c\\fR, \\fB\\-\\-config\\fR \\fIFILE\\fR\n", page, StringComparison.Ordinal);
        Assert.Contains("Exit codes: 0 done, or healthy;", page, StringComparison.Ordinal);
        var sources = string.Concat(Repository.Sources().Where(static source => source.Folder is "Cli").Select(static source => source.Text));
        var options = OptionName().Matches(sources).Select(static match => match.Groups[1].Value).Distinct().ToList();
        Assert.True(options.Count > 20, "nothing was read");
        foreach (var option in options)
            Assert.Contains(option.Replace("-", "\\-", StringComparison.Ordinal), page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Page_Is_roff_without_mistakes()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/man") || File.Exists("/usr/bin/groff"), "needs man or groff");
        var (_, page, _) = await proxy.RunAsync("man");
        var file = proxy.InFolder("proxy.1");
        await File.WriteAllTextAsync(file, page, TestContext.Current.CancellationToken);

        var text = await Harness.Command.RunAsync("groff", "-man", "-Tutf8", "-ww", "-P-c", file);

        Assert.DoesNotContain("warning", text, StringComparison.Ordinal);
        Assert.Contains("proxy - front door to local LLM hosts", text, StringComparison.Ordinal);
    }

    /// <summary>Variables that the page names are read by the program, or by a library in it.</summary>
    [Fact]
    public async Task Variables_of_the_page_are_read()
    {
        var (_, page, _) = await proxy.RunAsync("man");
        page = page[page.IndexOf(".SH ENVIRONMENT", StringComparison.Ordinal)..];
        var named = Variable().Matches(page).Select(static match => match.Groups[1].Value).ToList();
        var code = string.Concat(Repository.Sources().Where(static source => !source.Text.Contains("class ManCommand", StringComparison.Ordinal))
            .Select(static source => source.Text));

        Assert.True(named.Count >= 12, "nothing was read");
        Assert.All(named, name => Assert.Contains($"\"{name}\"", code, StringComparison.Ordinal));
    }

    [GeneratedRegex("""new Option<[^>]+>+\("(--[a-z-]+)""")]
    private static partial Regex OptionName();

    [GeneratedRegex("""\.TP\n([A-Z_]+)\n""")]
    private static partial Regex Variable();
}
