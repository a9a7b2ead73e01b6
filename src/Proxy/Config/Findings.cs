namespace Proxy.Config;

/// <summary>The findings of one reading of the file: the problems, the line of every key, and the keys that each section knows.</summary>
internal sealed class Findings
{
    private readonly List<ConfigProblem> problems = [];
    private readonly Dictionary<string, int> lines = new(StringComparer.Ordinal);
    private readonly List<SectionReader> sections = [];

    private readonly HashSet<int> broken = [];

    /// <summary>True if a line is so wrong that the lines after it cannot be understood; then only syntax problems are reported.</summary>
    public bool IsLost { get; set; }

    public bool IsBroken(int line) => broken.Contains(line);

    /// <summary>Notes a line that is not TOML. No other problem of that line is reported.</summary>
    public void AddSyntax(int line, string message)
    {
        problems.Add(new("", line, message));
        broken.Add(line);
    }

    public void Add(string key, int line, string message)
    {
        if (!IsLost && !IsBroken(line)) problems.Add(new(key, line, message));
    }

    public int Count => problems.Count;

    public void Locate(string key, int line) => lines[key] = line;

    public void Opened(SectionReader section) => sections.Add(section);

    /// <summary>Adds a problem that a rule found later: its line is that of the key, or of the nearest section around it.</summary>
    public void Add(ConfigProblem problem)
    {
        var key = problem.Key;
        int line;
        while (!lines.TryGetValue(key, out line) && key.Length > 0)
            key = key[..Math.Max(0, Math.Max(key.LastIndexOf('.'), key.LastIndexOf('[')))];

        Add(problem.Key, line, problem.Message);
    }

    /// <summary>Adds a problem for every key in the file that no section asked for; the suggestion comes from the keys that sections did ask for.</summary>
    public void RefuseUnknownKeys()
    {
        foreach (var section in sections)
            foreach (var (key, setting) in section.Unasked)
                Add(section.PathOf(key), setting.Line, Meant(section, key));
    }

    public IReadOnlyList<ConfigProblem> InReadingOrder() => [.. problems.OrderBy(problem => problem.Line)];

    private string Meant(SectionReader section, string key)
    {
        if (Spelling.Nearest(key, section.Asked) is { } near) return $"unknown key; did you mean \"{near}\"?";
        if (section.Hints.TryGetValue(key, out var hint)) return $"unknown key; {hint}";
        if (sections.FirstOrDefault(other => other.Asked.Contains(key)) is { } home)
            return home.Title.Length == 0
                ? $"unknown key in {section.Title}; it belongs at the top of the file, above the first [section]"
                : $"unknown key; it belongs in {home.Title}";
        return $"unknown key; {(section.Title.Length == 0 ? "the top of the file" : section.Title)} takes "
            + string.Join(", ", section.Asked.Order(StringComparer.Ordinal));
    }
}
