using System.Text;
using System.Text.Json;
using Proxy.Knowledge;

namespace Proxy.Cli.Knowledge;

/// <summary>A document of another system: an object of an export.</summary>
/// <param name="Id">Its id there: the same id again replaces it.</param>
/// <param name="Name">The name under which it is found: its title, or its id.</param>
/// <param name="Attributes">A JSON object; the document's address is <c>url</c>.</param>
internal sealed record ExportedDocument(string Id, string Name, string Text, JsonElement Attributes)
{
    /// <summary>What the document is known by in a workspace.</summary>
    public string Path => Prefix + Id;

    public const string Prefix = "jsonl:";
}

/// <summary>
/// Reads exports: one object on each line, <c>{"id", "text", "title"?, "url"?, "attributes"?}</c>. A line that is none is reported by its number, and the
/// others are read.
/// </summary>
internal static class JsonLines
{
    private const int LongestName = 200;

    /// <summary>Each line's document, or what is wrong with the line.</summary>
    /// <param name="input">The export.</param>
    /// <param name="common">Attributes for every document; its own come first. Null: none.</param>
    public static IEnumerable<(int Line, ExportedDocument? Document, string? Problem)> Read(Stream input, JsonElement? common)
    {
        using var reader = new StreamReader(input, new UTF8Encoding(false), detectEncodingFromByteOrderMarks: true, leaveOpen: true);
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var number = 1; reader.ReadLine() is { } line; number++)
        {
            if (string.IsNullOrWhiteSpace(line)) continue;
            var (document, problem) = Read(line, common);
            if (document is { Id: var id } && !seen.TryAdd(id, number)) yield return (number, null, $"the id \"{id}\" stands on line {seen[id]} too");
            else yield return (number, document, problem);
        }
    }

    private static (ExportedDocument? Document, string? Problem) Read(string line, JsonElement? common)
    {
        JsonElement written;
        try
        {
            written = JsonElement.Parse(line);
        }
        catch (JsonException)
        {
            return (null, "is not a JSON object");
        }

        if (written.ValueKind is not JsonValueKind.Object) return (null, "is not a JSON object");
        foreach (var member in written.EnumerateObject())
        {
            if (member.Name is not ("id" or "title" or "text" or "attributes" or "url"))
                return (null, $"\"{member.Name}\" is not known: a line has id, text, title, url and attributes");
        }

        var id = written.TryGetProperty("id", out var number) && number.ValueKind is JsonValueKind.Number ? number.GetRawText() : Text(written, "id", out _);
        if (id is not { Length: > 0 }) return (null, "\"id\" is missing: a text or a number by which the document is known");
        if (Text(written, "text", out _) is not { } text) return (null, "\"text\" is missing");
        if (string.IsNullOrWhiteSpace(text)) return (null, "\"text\" is empty");
        var title = Text(written, "title", out var isTitleWrong);
        var url = Text(written, "url", out var isUrlWrong);
        if (isTitleWrong || isUrlWrong) return (null, $"\"{(isTitleWrong ? "title" : "url")}\" is not a text");
        JsonElement? own = written.TryGetProperty("attributes", out var attributes) && attributes.ValueKind is not JsonValueKind.Null ? attributes : null;
        if (own is { } given && Attributes.Problem(given) is { } problem) return (null, problem);
        return (new(id, Name(title is { Length: > 0 } ? title : id), text, Attributes.Combine(common, own, url)), null);
    }

    /// <summary>Null if there is none.</summary>
    private static string? Text(JsonElement of, string member, out bool isWrong)
    {
        var value = of.TryGetProperty(member, out var found) && found.ValueKind is not JsonValueKind.Null ? found : default;
        isWrong = value.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.String);
        return value.ValueKind is JsonValueKind.String ? value.GetString() : null;
    }

    /// <summary>A file name that reads as text: a slash would begin a folder.</summary>
    private static string Name(string title)
    {
        var plain = title.Replace('/', ' ').Replace('\\', ' ');
        return WorkspaceAccess.PlainName(plain.Length <= LongestName ? plain : plain[..LongestName]) + ".txt";
    }
}
