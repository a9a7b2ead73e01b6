using System.Text;

namespace Proxy.Config;

/// <summary>
/// Reads one section key by key. A value of the wrong kind is noted and the default returned, so that one reading finds all problems.
/// The keys that are asked for are the valid ones, so there is no second list of them.
/// </summary>
internal sealed class SectionReader
{
    private static readonly Dictionary<string, string> NoHints = [];

    private readonly Setting.Table table;
    private readonly string path;
    private readonly Findings findings;
    private readonly ConfigSources sources;
    private readonly HashSet<string> asked = new(StringComparer.Ordinal);

    public SectionReader(Setting.Table table, string path, string title, Findings findings, ConfigSources sources)
    {
        (this.table, this.path, Title, this.findings, this.sources) = (table, path, title, findings, sources);
        if (path.Length > 0 && table.Line > 0) findings.Locate(path, table.Line);
        findings.Opened(this);
    }

    /// <summary>The section's header as it is written; empty for the top of the file.</summary>
    public string Title { get; }

    /// <summary>Advice for keys that users bring from other programs.</summary>
    public IReadOnlyDictionary<string, string> Hints { get; init; } = NoHints;

    public IReadOnlySet<string> Asked => asked;

    public IEnumerable<KeyValuePair<string, Setting>> Unasked => table.Items.Where(item => !asked.Contains(item.Key));

    public string PathOf(string key) => path.Length == 0 ? key : $"{path}.{key}";

    public bool Has(string key) => table.Items.ContainsKey(key);

    /// <summary>Notes a problem of a key; on the section's own line if the key is missing.</summary>
    public void Refuse(string key, string message) =>
        findings.Add(PathOf(key), table.Items.TryGetValue(key, out var setting) ? setting.Line : table.Line, message);

    public string? Text(string key) => Ask(key) switch
    {
        null => null,
        Setting.Text text => Expand(PathOf(key), text),
        var other => Wrong<string?>(key, other, "a text in quotes"),
    };

    /// <summary>A text that must exist and not be empty; returns "" after noting a problem.</summary>
    public string Required(string key, string example)
    {
        var before = findings.Count;
        var text = Text(key);
        var isBroken = table.Items.GetValueOrDefault(key) is Setting.Broken;
        if (string.IsNullOrWhiteSpace(text) && !isBroken && findings.Count == before)
            Refuse(key, Has(key) ? $"is empty; write {example}" : $"is missing; write {key} = {example}");
        return text ?? "";
    }

    /// <summary>One of a few texts.</summary>
    public string Choice(string key, string otherwise, params string[] choices)
    {
        if (Text(key) is not { } text) return otherwise;
        if (choices.Contains(text)) return text;
        Refuse(key, $"\"{text}\" is not known; write {NoneOf(text, choices)}");
        return otherwise;
    }

    public int? Whole(string key, int least, int most = int.MaxValue)
    {
        switch (Ask(key))
        {
            case null:
                return null;
            case Setting.Whole whole when whole.Value >= least && whole.Value <= most:
                return (int)whole.Value;
            case Setting.Whole whole:
                Refuse(key, most == int.MaxValue
                    ? $"{whole.Value} is out of range; write a number of {least} or more"
                    : $"{whole.Value} is out of range; write a number from {least} to {most}");
                return null;
            case var other:
                return Wrong<int?>(key, other, "a whole number without quotes");
        }
    }

    /// <summary>A share, such as 0.5; its range is checked by the rules.</summary>
    public double Share(string key, double otherwise) => Ask(key) switch
    {
        null => otherwise,
        Setting.Whole whole => whole.Value,
        Setting.Fraction fraction => fraction.Value,
        var other => Wrong(key, other, $"a number without quotes, such as {key} = 0.01", otherwise),
    };

    public bool Truth(string key, bool otherwise) => Ask(key) switch
    {
        null => otherwise,
        Setting.Truth truth => truth.Value,
        var other => Wrong(key, other, "true or false, without quotes", otherwise),
    };

    public long Size(string key, long otherwise)
    {
        if (Ask(key) is Setting.Whole whole) return Wrong(key, whole, $"a size with its unit in quotes, such as \"{whole.Value}B\" or \"32MiB\"", otherwise);
        if (Text(key) is not { } text) return otherwise;
        if (ByteSize.TryParse(text, out var bytes)) return bytes;
        Refuse(key, $"\"{text}\" is not a size; write a number and B, KB, MB, GB, KiB, MiB or GiB, such as {ByteSize.Example}");
        return otherwise;
    }

    public TimeSpan Time(string key, TimeSpan otherwise) => Time(key, otherwise, canBeOff: false) ?? otherwise;

    /// <summary>How long something is kept.</summary>
    public TimeSpan Kept(string key, TimeSpan otherwise)
    {
        if (Ask(key) is not { } setting) return otherwise;
        if (setting is not Setting.Text written) return Wrong(key, setting, "a duration with its unit in quotes, such as \"30d\" or \"12h\"", otherwise);
        if (Expand(PathOf(key), written) is not { } text) return otherwise;
        if (Duration.TryParseKept(text, out var kept)) return kept;
        Refuse(key, $"\"{text}\" is not a duration; write whole days such as \"30d\" (at most 3650), or \"12h\"");
        return otherwise;
    }

    /// <summary>A duration, or null for <c>"off"</c>.</summary>
    public TimeSpan? TimeOrOff(string key) => Time(key, null, canBeOff: true);

    /// <param name="key">The setting.</param>
    /// <param name="otherwise">Its value if the file has none.</param>
    /// <param name="meant">The text that a user who wrote a number meant; null if that is not clear.</param>
    public IReadOnlyList<string> Texts(string key, IReadOnlyList<string> otherwise, Func<long, string?>? meant = null)
    {
        switch (Ask(key))
        {
            case null:
                return otherwise;
            case Setting.List { IsSections: false } list:
                var texts = new List<string>();
                for (var i = 0; i < list.Items.Count; i++)
                {
                    var path = $"{PathOf(key)}[{texts.Count}]";
                    findings.Locate(path, list.Items[i].Line);
                    if (list.Items[i] is Setting.Whole { Value: var number } && meant?.Invoke(number) is { } instead)
                    {
                        findings.Add(PathOf(key), list.Items[i].Line, $"holds a number; write \"{instead}\"");
                    }
                    else if (list.Items[i] is not Setting.Text text)
                    {
                        findings.Add(PathOf(key), list.Items[i].Line, $"holds {list.Items[i].Kind}; write every entry in quotes");
                    }
                    else if (Expand(path, text) is { } expanded) texts.Add(expanded);
                }

                // Entries that could not be read have been noted; that none is left is not a second problem.
                return texts.Count == 0 && list.Items.Count > 0 ? otherwise : texts;
            case Setting.Text text:
                return Wrong(
                    key, text, $"a list: {key} = [\"{(long.TryParse(text.Value, out var digits) ? meant?.Invoke(digits) : null) ?? text.Value}\"]", otherwise);
            case Setting.Whole { Value: var single } whole when meant?.Invoke(single) is { } instead:
                return Wrong(key, whole, $"a list: {key} = [\"{instead}\"]", otherwise);
            case var other:
                return Wrong(key, other, "a list of texts in quotes", otherwise);
        }
    }

    /// <summary>A list of texts, or one text as a list of one.</summary>
    public IReadOnlyList<string> TextOrTexts(string key) =>
        table.Items.GetValueOrDefault(key) is not Setting.Text ? Texts(key, []) : Text(key) is { } single ? [single] : [];

    /// <summary>A table whose keys the user chooses.</summary>
    public IReadOnlyDictionary<string, string> TextTable(string key)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        switch (Ask(key))
        {
            case null:
                break;
            case Setting.Table table:
                findings.Locate(PathOf(key), table.Line);
                foreach (var (name, setting) in table.Items)
                {
                    var path = $"{PathOf(key)}.{name}";
                    findings.Locate(path, setting.Line);
                    if (setting is Setting.Text text)
                    {
                        if (Expand(path, text) is { } expanded) texts[name] = expanded;
                    }
                    else if (setting is Setting.Table { IsOpened: false } dotted)
                    {
                        findings.Add(path, setting.Line, $"a name with a dot needs quotes; write \"{Dotted(name, dotted)}\" = …");
                    }
                    else findings.Add(path, setting.Line, $"is {setting.Kind}; write a text in quotes");
                }

                break;
            case var other:
                Wrong(key, other, $"a table: {key} = {{ \"name\" = \"value\" }}", 0);
                break;
        }

        return texts;
    }

    /// <summary>A section inside this one; an empty one if the file has none.</summary>
    public SectionReader Section(string key, IReadOnlyDictionary<string, string>? hints = null)
    {
        var title = $"[{(path.Length == 0 ? "" : WithoutIndex(path) + ".")}{key}]";
        var table = Ask(key) switch
        {
            null => null,
            Setting.Table found => found,
            Setting.List { IsSections: true } list => Wrong<Setting.Table?>(key, list, $"one section, {title} with single brackets"),
            var other => Wrong<Setting.Table?>(key, other, $"a section, {title}"),
        };
        return new(table ?? Setting.Table.Empty(0), PathOf(key), title, findings, sources) { Hints = hints ?? NoHints };
    }

    /// <summary>The <c>[[key]]</c> sections, in order.</summary>
    public IReadOnlyList<SectionReader> Sections(string key, IReadOnlyDictionary<string, string> hints)
    {
        var title = $"[[{PathOf(key)}]]";
        switch (Ask(key))
        {
            case null:
                return [];
            // An inline list of tables has the same meaning.
            case Setting.List list when list.Items.All(item => item is Setting.Table):
                return [.. list.Items.Cast<Setting.Table>()
                    .Select((table, i) => new SectionReader(table, $"{PathOf(key)}[{i}]", title, findings, sources) { Hints = hints })];
            case var other:
                Wrong(key, other, $"one {title} section for each, with double brackets", 0);
                return [];
        }
    }

    private Setting? Ask(string key)
    {
        asked.Add(key);
        if (!table.Items.TryGetValue(key, out var setting) || setting is Setting.Broken) return null;
        findings.Locate(PathOf(key), setting.Line);
        return setting;
    }

    private TimeSpan? Time(string key, TimeSpan? otherwise, bool canBeOff)
    {
        if (Ask(key) is Setting.Whole whole) return Wrong(key, whole, $"a duration with its unit in quotes, such as \"{whole.Value}s\"", otherwise);
        if (Text(key) is not { } text) return otherwise;
        if (canBeOff && text == "off") return null;
        if (Duration.TryParse(text, out var duration)) return duration;
        Refuse(key,
            $"\"{text}\" is not a duration; write whole numbers of h, m, s or ms, such as {Duration.Example}{(canBeOff ? ", or \"off\"" : "")} (at most 480h)");
        return otherwise;
    }

    private T Wrong<T>(string key, Setting setting, string wanted, T otherwise = default!)
    {
        findings.Add(PathOf(key), setting.Line, $"is {setting.Kind}; write {wanted}");
        return otherwise;
    }

    /// <summary>
    /// Replaces <c>${NAME}</c> by the environment variable; <c>$${</c> stands for <c>${</c> itself. Null after noting that a variable is missing.
    /// </summary>
    private string? Expand(string path, Setting.Text text)
    {
        var value = text.Value;
        if (value.Contains('\0', StringComparison.Ordinal))
        {
            findings.Add(path, text.Line, "holds a null character, which no setting can; leave it out");
            return null;
        }

        if (!value.Contains("${", StringComparison.Ordinal)) return value;

        var expanded = new StringBuilder();
        var whole = true;
        for (var at = 0; at < value.Length;)
        {
            var start = value.IndexOf("${", at, StringComparison.Ordinal);
            if (start < 0)
            {
                expanded.Append(value, at, value.Length - at);
                break;
            }

            if (start > at && value[start - 1] == '$')
            {
                expanded.Append(value, at, start - 1 - at).Append("${");
                at = start + 2;
                continue;
            }

            expanded.Append(value, at, start - at);
            var end = value.IndexOf('}', start);
            var name = end < 0 ? "" : value[(start + 2)..end];
            if (name.Length == 0 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_'))
            {
                findings.Add(path, text.Line, "has a \"${\" without a variable's name and \"}\"; write ${NAME}, or $${ for the two characters themselves");
                return null;
            }

            if (sources.Environment(name) is { } found) expanded.Append(found);
            else
            {
                findings.Add(path, text.Line, $"the environment has no {name}; set it, or write the value itself");
                whole = false;
            }

            at = end + 1;
        }

        return whole ? expanded.ToString() : null;
    }

    /// <summary>Ends a message: with the choice that was probably meant, else with all of them.</summary>
    public static string NoneOf(string text, IReadOnlyCollection<string> choices) =>
        Spelling.Nearest(text, choices) is { } near ? $"\"{near}\"" : "one of " + string.Join(", ", choices.Select(choice => $"\"{choice}\""));

    private static string Dotted(string name, Setting.Table table) =>
        table.Items.FirstOrDefault() is { Key: { } inner, Value: var value }
            ? value is Setting.Table deeper ? $"{name}.{Dotted(inner, deeper)}" : $"{name}.{inner}" : name;

    private static string WithoutIndex(string path) => path.IndexOf('[') is >= 0 and var at ? path[..at] : path;
}
