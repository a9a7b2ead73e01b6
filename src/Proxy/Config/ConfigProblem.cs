namespace Proxy.Config;

/// <summary>
/// Something wrong in the file: the dotted key (empty where it is the line as such), its line (from 1; 0 where it is not in the file) and what to write
/// instead.
/// </summary>
internal sealed record ConfigProblem(string Key, int Line, string Message)
{
    /// <summary>
    /// The problem in the form that compilers use and editors jump to: <c>file:line: key: message</c>. One of the command line stands in no file.
    /// </summary>
    public string In(string file) =>
        Key.StartsWith("--", StringComparison.Ordinal)
            ? $"{Key}: {Message}" : $"{file}:{(Line > 0 ? $"{Line}:" : "")} {(Key.Length > 0 ? $"{Key}: " : "")}{Message}";
}

/// <summary>What reading a file gave. There is a configuration exactly when there is no problem.</summary>
internal sealed record ConfigResult(ProxyConfig? Config, IReadOnlyList<ConfigProblem> Problems);
