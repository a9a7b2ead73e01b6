using System.CommandLine;

namespace Proxy.Cli;

/// <summary>
/// <c>proxy completion SHELL</c>: prints a script that lets a shell complete the proxy's commands. The script asks this program, so it never becomes outdated.
/// </summary>
internal static class CompletionCommand
{
    // The parser suggests every spelling of every option at any place. The scripts show only words that begin like the typed one, options only after a dash,
    // and
    // no "/h".
    private const string Bash = """
        # bash: source <(proxy completion bash)
        _proxy() {
            local line="${COMP_LINE:0:COMP_POINT}" found
            found=$("${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2>/dev/null | grep -v '^/')
            [[ $2 == -* ]] || found=$(grep -v '^-' <<<"$found")
            mapfile -t COMPREPLY < <(compgen -W "$found" -- "$2")
        }
        complete -o default -F _proxy proxy
        """;

    private const string Zsh = """
        #compdef proxy
        # zsh: source <(proxy completion zsh)
        _proxy() {
            local -a found
            found=(${(f)"$(${words[1]} "[suggest:${#LBUFFER}]" "$LBUFFER" 2>/dev/null)"})
            found=(${found:#/*})
            [[ $PREFIX == -* ]] || found=(${found:#-*})
            compadd -a found || _files
        }
        if [[ ${funcstack[1]} == _proxy ]]; then _proxy "$@"; else compdef _proxy proxy; fi
        """;

    private const string Fish = """
        # fish: proxy completion fish | source
        function __proxy_complete
            set -l line (commandline -cp)
            set -l hidden '^[-/]'
            string match -q -- '-*' (commandline -ct); and set hidden '^/'
            proxy "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null | string match -rv $hidden
        end
        complete -c proxy -a '(__proxy_complete)'
        """;

    public static Command Make(Surroundings around)
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish." };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        var command = new Command("completion", "Print a script that lets a shell complete these commands.") { shell };
        command.SetAction(parsed =>
        {
            around.Output.WriteLine(parsed.GetRequiredValue(shell) switch { "bash" => Bash, "zsh" => Zsh, _ => Fish });
            return (int)ExitCode.Ok;
        });
        return command;
    }
}
