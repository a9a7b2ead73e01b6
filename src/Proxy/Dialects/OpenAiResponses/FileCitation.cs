using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// A place in an answer's text that cites a file: OpenAI's annotation <c>{"type":"file_citation","file_id","filename","index"}</c>.
/// </summary>
/// <param name="FileId">The file.</param>
/// <param name="FileName">Its name.</param>
/// <param name="Index">The place in the text, in Unicode characters from 0.</param>
internal readonly record struct FileCitation(string FileId, string FileName, int Index)
{
    /// <summary>
    /// The citations of a text: each mark <c>[1]</c>, <c>[1, 2]</c> or <c>[1][2]</c> with the number of a source, in the order of the text. If the model marked
    /// nothing, all files are cited once at the end of the text, because the answer was made from them.
    /// </summary>
    /// <param name="text">The whole text.</param>
    /// <param name="sources">The sources; those that are not files are not cited.</param>
    public static List<FileCitation> Of(string text, IReadOnlyList<Source> sources)
    {
        var found = new List<FileCitation>();
        var characters = 0;
        for (var at = 0; at < text.Length; at++)
        {
            if (text[at] is '[') AddMarked(text.AsSpan(at + 1), characters, sources, found);
            if (!char.IsLowSurrogate(text[at])) characters++;
        }

        if (found.Count > 0) return found;
        foreach (var source in sources)
        {
            if (source.FileId is { } id && !found.Exists(known => known.FileId == id)) found.Add(new(id, source.FileName ?? id, characters));
        }

        return found;
    }

    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartOfType("file_citation"u8);
        json.WriteString("file_id"u8, FileId);
        json.WriteString("filename"u8, FileName);
        json.WriteNumber("index"u8, Index);
        json.WriteEndObject();
    }

    /// <summary>Reads <c>1]</c> or <c>1, 2]</c>; anything else is not a mark.</summary>
    private static void AddMarked(ReadOnlySpan<char> rest, int index, IReadOnlyList<Source> sources, List<FileCitation> found)
    {
        if (rest[..Math.Min(rest.Length, 64)].IndexOf(']') is not (> 0 and var end)) return;
        var cited = new List<Source>();
        foreach (var part in rest[..end].Split(','))
        {
            const NumberStyles Digits = NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite;
            if (!int.TryParse(rest[..end][part], Digits, CultureInfo.InvariantCulture, out var number)) return;
            var source = sources.FirstOrDefault(source => source.Number == number);
            if (source is { FileId: not null }) cited.Add(source);
        }

        foreach (var source in cited) found.Add(new(source.FileId!, source.FileName ?? source.FileId!, index));
    }
}
