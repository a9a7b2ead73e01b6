using System.Text;
using System.Text.Json;

namespace Proxy.Documents.Formats;

/// <summary>
/// Reads JSON as lines of the form <c>path: value</c>. A record is one block: an element of the outermost array, a member of the outermost object or, where
/// that is an array of objects, each of its elements.
/// </summary>
internal static class JsonText
{
    /// <summary>Characters of a line of JSON Lines.</summary>
    private const int LineLength = 16 << 20;

    /// <summary>Characters of a name; the rest is left out of the paths.</summary>
    private const int NameLength = 100;

    public static void Read(string text, BlockList blocks)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var options = new JsonReaderOptions
        {
            AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip, MaxDepth = DocumentLimits.JsonDepth, AllowMultipleValues = true,
        };
        try
        {
            new JsonRecords(blocks).Read(bytes, options);
        }
        catch (JsonException wrong)
        {
            throw new DocumentException(
                DocumentFault.Invalid,
                $"the file is not valid JSON (line {wrong.LineNumber + 1}), or nested more than {DocumentLimits.JsonDepth} levels deep", wrong);
        }
    }

    /// <summary>One record a line. A line that is not valid JSON is kept as text.</summary>
    public static void ReadLines(TextReader text, BlockList blocks)
    {
        var lines = new LineReader(text, LineLength);
        var options = new JsonReaderOptions { MaxDepth = DocumentLimits.JsonDepth };
        while (lines.Next() is { } line)
        {
            blocks.Guard.Step();
            if (string.IsNullOrWhiteSpace(line)) continue;
            var records = new JsonRecords(blocks) { IsOneRecord = true };
            try
            {
                records.Read(Encoding.UTF8.GetBytes(line), options);
            }
            catch (JsonException)
            {
                blocks.Add(line, isVerbatim: true);
            }
        }
    }

    /// <summary>Writes one JSON text as records. Nothing here recurses, so depth costs no stack.</summary>
    private sealed class JsonRecords(BlockList blocks)
    {
        private readonly StringBuilder record = new();
        private readonly List<Level> levels = [];

        /// <summary>The path whose line is the last of the record, for the values of an array that share one line.</summary>
        private string? listPath;

        public bool IsOneRecord { get; init; }

        /// <summary>An object or array that is open.</summary>
        private sealed record Level(bool IsArray, string Path)
        {
            public int Count { get; set; }

            /// <summary>The path of the member whose value comes next.</summary>
            public string Member { get; set; } = "";
        }

        public void Read(ReadOnlySpan<byte> json, JsonReaderOptions options)
        {
            var reader = new Utf8JsonReader(json, options);
            while (reader.Read()) Take(ref reader);
            EndRecord();
        }

        private void Take(ref Utf8JsonReader reader)
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject or JsonTokenType.StartArray:
                    Open(reader.TokenType == JsonTokenType.StartArray);
                    break;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    listPath = null;
                    levels.RemoveAt(levels.Count - 1);
                    if (levels.Count <= 1 || (levels.Count == 2 && levels[1].IsArray && !levels[0].IsArray)) EndRecord();
                    break;
                case JsonTokenType.PropertyName:
                    var parent = levels[^1];
                    var name = Text(ref reader);
                    if (name.Length > NameLength) name = name[..BlockList.Whole(name, NameLength)] + "…";
                    parent.Member = parent.Path.Length == 0 ? name : parent.Path + "." + name;
                    break;
                case JsonTokenType.String or JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False:
                    Value(Text(ref reader));
                    break;
            }
        }

        private void Open(bool isArray)
        {
            blocks.Guard.Step();
            var path = NextPath(isValue: false);
            // An object or array begins a record at the outermost level, and in an array of the outermost object.
            if (levels.Count == 1 || (levels.Count == 2 && levels[1].IsArray && !levels[0].IsArray)) EndRecord();
            levels.Add(new(isArray, path));
            listPath = null;
        }

        private void Value(string value)
        {
            var path = NextPath(isValue: true);
            if (value.Length == 0) return;
            var inArray = levels.Count > 0 && levels[^1].IsArray;
            if (inArray && listPath == path && record.Length > 0) record.Insert(record.Length - 1, ", " + value);
            else if (path.Length == 0) record.Append(value).Append('\n');
            else record.Append(path).Append(": ").Append(value).Append('\n');
            listPath = inArray ? path : null;
            if (levels.Count == 0 || record.Length > DocumentLimits.BlockLength) EndRecord();
        }

        private string NextPath(bool isValue)
        {
            if (levels.Count == 0) return "";
            var level = levels[^1];
            if (!level.IsArray) return level.Member;
            var index = level.Count++;
            if (isValue || level.Path.Length == 0) return level.Path;
            return $"{level.Path}[{index}]";
        }

        private void EndRecord()
        {
            if (IsOneRecord && levels.Count > 0 && record.Length < DocumentLimits.BlockLength) return;
            if (record.Length > 0) blocks.Add(record.ToString(), isVerbatim: true);
            record.Clear();
            listPath = null;
        }

        /// <summary>A value's or name's text. A broken escape of a surrogate pair is kept as it is written.</summary>
        private static string Text(ref Utf8JsonReader reader)
        {
            try
            {
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName) return reader.GetString()!;
            }
            catch (InvalidOperationException)
            {
            }

            return Encoding.UTF8.GetString(reader.ValueSpan);
        }
    }
}
