using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Tomlyn.Parsing;
using Tomlyn.Syntax;

namespace Proxy.Config;

/// <summary>From TOML's syntax to settings. Only this file uses the TOML library.</summary>
internal static partial class ConfigReader
{
    /// <summary>
    /// Reads the text into one table. Duplicate keys are found here and not by the library, because its check of <c>[[sections]]</c> takes an inline table in a
    /// second section for a redefinition of the one in the first.
    /// </summary>
    private static Setting.Table ReadSyntax(string toml, Findings findings)
    {
        var document = Parse(toml, findings);
        var root = Setting.Table.Empty(0);
        foreach (var pair in document.KeyValues) Put(pair, root, "", findings);
        foreach (var section in document.Tables)
            if (Open(section, root, findings) is { } table)
                foreach (var pair in section.Items)
                    Put(pair, table, string.Join('.', Names(section.Name) ?? []) + ".", findings);
        return root;
    }

    /// <summary>False for an escape that is no character, which the library does not check.</summary>
    private static bool TryParse(string[] lines, int count, [NotNullWhen(true)] out DocumentSyntax? document)
    {
        try
        {
            document = SyntaxParser.Parse(string.Join('\n', lines, 0, count), sourceName: null, validate: false);
            return true;
        }
        catch (ArgumentOutOfRangeException)
        {
            document = null;
            return false;
        }
    }

    /// <summary>
    /// Only a parser's first complaint is reliable. So its line is noted and replaced by a valid one, and the text is parsed again, until there is no
    /// complaint.
    /// </summary>
    private static DocumentSyntax Parse(string toml, Findings findings)
    {
        var lines = toml.Split('\n');
        while (true)
        {
            if (!TryParse(lines, lines.Length, out var document))
            {
                var at = 1;
                while (TryParse(lines, at, out _)) at++;
                findings.AddSyntax(at, "is not TOML: an escape in it, after a backslash, is no character");
                lines[at - 1] = "";
                continue;
            }

            if (document.Diagnostics.MinBy(diagnostic => diagnostic.Span.Start.Offset) is not { } first) return document;

            var line = Math.Min(first.Span.Start.Line, lines.Length - 1);
            if (findings.IsBroken(line + 1))
            {
                findings.IsLost = true;
                return document;
            }

            var (message, mended) = Mend(lines[line]);
            findings.AddSyntax(line + 1, message ?? $"is not TOML: {first.Message}");
            findings.IsLost |= mended.Length == 0;
            lines[line] = mended;
        }
    }

    /// <summary>The quotes that word processors and web pages produce.</summary>
    private static readonly SearchValues<char> TypographicQuotes = SearchValues.Create("“”„‟‘’‚‛«»");

    [GeneratedRegex("^[+-]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*)$")]
    private static partial Regex WholeNumber();

    /// <summary>A message with the line to write instead, if that is clear, and a valid line to use in its place (empty if the meaning is lost).</summary>
    private static (string? Message, string Mended) Mend(string line)
    {
        line = line.Trim();
        if (line.StartsWith('['))
        {
            var name = line.Trim('[', ']', ' ');
            if (!name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-' or '.')) return (null, "");
            return line.StartsWith("[[", StringComparison.Ordinal)
                ? ($"a section of a list is written [[{name}]]", $"[[{name}]]") : ($"a section is written [{name}]", $"[{name}]");
        }

        var equals = line.IndexOf('=');
        if (equals <= 0) return (line.Contains('"', StringComparison.Ordinal) ? null : "is not TOML; a line is key = value, [section] or # comment", "");

        var (key, value) = (line[..equals].Trim(), line[(equals + 1)..].Split('#')[0].Trim());
        // The message does not show a credential.
        var isSecret = key.EndsWith("key", StringComparison.OrdinalIgnoreCase) || key.EndsWith("authorization", StringComparison.OrdinalIgnoreCase)
            || key == "sha256";
        var message = value switch
        {
            _ when line.AsSpan().IndexOfAny(TypographicQuotes) is >= 0 and var at =>
                $"{line[at]} is not a quote in TOML; write " + (isSecret || value.StartsWith('[') || value.StartsWith('{')
                    ? "\"" : $"{key} = \"{string.Concat(value.Where(c => !TypographicQuotes.Contains(c)))}\""),
            "" => $"{key} has no value; write {key} = \"…\"",
            "True" or "False" or "yes" or "no" or "on" or "off" => $"write {key} = true or {key} = false",
            ['"' or '\'' or '[' or '{', ..] => null,
            _ when value.Contains('"', StringComparison.Ordinal) => null,
            _ when isSecret => $"a text needs quotes; write {key} = \"…\"",
            _ when WholeNumber().IsMatch(value) => long.TryParse(value, out var whole)
                ? $"a number has no leading zeros; write {key} = {whole}"
                : $"{key} = {value} is out of range; no setting takes a number of that size",
            _ => $"a text needs quotes; write {key} = \"{value}\"",
        };
        return (message, $"{key} = \"\"");
    }

    /// <summary>The table that a header opens, or null after noting why it cannot be opened.</summary>
    private static Setting.Table? Open(TableSyntaxBase section, Setting.Table root, Findings findings)
    {
        var line = section.Span.Start.Line + 1;
        if (Names(section.Name) is not { Count: > 0 } names) return null;

        var parent = root;
        foreach (var name in names.SkipLast(1))
        {
            if (Inside(parent, name, line) is not { } next) return Refuse($"\"{name}\" is a value, not a section");
            parent = next;
        }

        var isList = section is TableArraySyntax;
        switch (parent.Items.GetValueOrDefault(names[^1]))
        {
            case null:
            {
                var table = Setting.Table.Empty(line);
                table.IsOpened = true;
                parent.Items[names[^1]] = isList ? new Setting.List([table], line) { IsSections = true } : table;
                return table;
            }
            case Setting.List { IsSections: true } list when isList:
            {
                var table = Setting.Table.Empty(line);
                table.IsOpened = true;
                list.Items.Add(table);
                return table;
            }
            case Setting.Table { IsOpened: false } table when !isList:
                table.IsOpened = true;
                return table;
            case Setting.List { IsSections: true }:
                return Refuse($"is a list of sections since another line; write [[{section.Name?.ToString().Trim()}]]");
            case Setting.Table earlier when isList:
                return Refuse($"is one section since line {earlier.Line}; write both with double brackets, or both keys in one");
            case Setting.Table earlier:
                // Its keys are read anyway, so that their problems are reported too.
                Refuse($"was opened on line {earlier.Line} already; put its keys together");
                return earlier;
            case var earlier:
                return Refuse($"is set on line {earlier.Line} already; keep one of the two");
        }

        Setting.Table? Refuse(string message)
        {
            findings.Add(string.Join('.', names), line, message);
            return null;
        }
    }

    private static void Put(KeyValueSyntax pair, Setting.Table table, string path, Findings findings)
    {
        // A syntax error leaves an incomplete pair behind; the error has been noted.
        if (Names(pair.Key) is not { Count: > 0 } names || pair.Value is null) return;

        var line = pair.Span.Start.Line + 1;
        var key = (path + string.Join('.', names)).Trim();
        foreach (var name in names.SkipLast(1))
        {
            if (Inside(table, name, line) is not { } next)
            {
                findings.Add(key, line, $"\"{name}\" is a value, not a section");
                return;
            }

            table = next;
        }

        if (table.Items.TryGetValue(names[^1], out var earlier)) findings.Add(key, line, $"is written on line {earlier.Line} already; keep one of the two");
        else if (findings.IsBroken(line)) table.Items[names[^1]] = new Setting.Broken(line);
        else table.Items[names[^1]] = Value(pair.Value, line, key + ".", findings);
    }

    private static Setting Value(ValueSyntax value, int line, string path, Findings findings)
    {
        switch (value)
        {
            case StringValueSyntax text:
                return new Setting.Text(text.Value ?? "", line);
            case IntegerValueSyntax whole:
                return new Setting.Whole(whole.Value, line);
            case BooleanValueSyntax truth:
                return new Setting.Truth(truth.Value, line);
            case FloatValueSyntax fraction:
                return new Setting.Fraction(fraction.Value, line);
            case DateTimeValueSyntax:
                return new Setting.Other("a date", line);
            case ArraySyntax list:
                return new Setting.List([.. list.Items.Where(item => item.Value is not null)
                    .Select(item => Value(item.Value!, item.Value!.Span.Start.Line + 1, path, findings))], line);
            case InlineTableSyntax braces:
                var table = Setting.Table.Empty(line);
                table.IsOpened = true;
                foreach (var item in braces.Items)
                    if (item.KeyValue is { } pair) Put(pair, table, path, findings);
                return table;
            default:
                return new Setting.Other("no value", line);
        }
    }

    /// <summary>The table with a name inside another, created if it does not exist; for a list, its last table. Null if the name is a value.</summary>
    private static Setting.Table? Inside(Setting.Table table, string name, int line)
    {
        switch (table.Items.GetValueOrDefault(name))
        {
            case null:
                var made = Setting.Table.Empty(line);
                table.Items[name] = made;
                return made;
            case Setting.Table found:
                return found;
            case Setting.List { IsSections: true } list:
                return (Setting.Table)list.Items[^1];
            default:
                return null;
        }
    }

    private static List<string>? Names(KeySyntax? key)
    {
        if (key?.Key is not { } first || Name(first) is not { } start) return null;

        var names = new List<string> { start };
        foreach (var dotted in key.DotKeys)
        {
            if (dotted.Key is not { } next || Name(next) is not { } name) return null;
            names.Add(name);
        }

        return names;
    }

    private static string? Name(BareKeyOrStringValueSyntax key) => key switch
    {
        BareKeySyntax bare => bare.Key?.Text?.Trim(),
        StringValueSyntax quoted => quoted.Value,
        _ => null,
    };
}
