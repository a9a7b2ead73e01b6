namespace Proxy.Config;

/// <summary>
/// A mistake in the file: the dotted key (empty if the whole line is meant), its line (from 1; 0 if it is not in the file) and what to write instead.
/// </summary>
internal sealed record ConfigProblem(string Key, int Line, string Message)
{
    /// <summary>
    /// The problem in the form that compilers use and editors jump to: <c>file:line: key: message</c>. A problem of the command line has no file.
    /// </summary>
    public string In(string file) =>
        Key.StartsWith("--", StringComparison.Ordinal)
            ? $"{Key}: {Message}" : $"{file}:{(Line > 0 ? $"{Line}:" : "")} {(Key.Length > 0 ? $"{Key}: " : "")}{Message}";
}

/// <summary>The result of reading a file. The configuration is null exactly if there are problems.</summary>
internal sealed record ConfigResult(ProxyConfig? Config, IReadOnlyList<ConfigProblem> Problems);
