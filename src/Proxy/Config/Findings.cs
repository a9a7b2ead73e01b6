namespace Proxy.Config;

/// <summary>What one reading of the file has found out: the problems, the line of every key, and which keys there are to know.</summary>
internal sealed class Findings
{
    private readonly List<ConfigProblem> problems = [];
    private readonly Dictionary<string, int> lines = new(StringComparer.Ordinal);
    private readonly List<SectionReader> sections = [];

    private readonly HashSet<int> broken = [];

    /// <summary>True when a line is wrong in a way that makes nonsense of others; only syntax is worth telling then.</summary>
    public bool IsLost { get; set; }

    public bool IsBroken(int line) => broken.Contains(line);

    /// <summary>A line that is not TOML. Nothing else is told of it.</summary>
    public void AddSyntax(int line, string message)
    {
        problems.Add(new("", line, message));
        broken.Add(line);
    }

    public void Add(string key, int line, string message)
    {
        if (!IsLost && !IsBroken(line)) problems.Add(new(key, line, message));
    }

    /// <summary>How many problems there are so far.</summary>
    public int Count => problems.Count;

    public void Locate(string key, int line) => lines[key] = line;

    public void Opened(SectionReader section) => sections.Add(section);

    /// <summary>A problem found later, by rule: its line is that of the key, or of the nearest section around it.</summary>
    public void Add(ConfigProblem problem)
    {
        var key = problem.Key;
        int line;
        while (!lines.TryGetValue(key, out line) && key.Length > 0)
            key = key[..Math.Max(0, Math.Max(key.LastIndexOf('.'), key.LastIndexOf('[')))];

        Add(problem.Key, line, problem.Message);
    }

    /// <summary>Every key of the file that no section asked for is a problem; asked keys are what it may have meant.</summary>
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
        return $"unknown key; {(section.Title.Length == 0 ? "the top of the file" : section.Title)} takes {string.Join(", ", section.Asked.Order(StringComparer.Ordinal))}";
    }
}
