using System.Net.ServerSentEvents;
using System.Text;
using System.Text.Json;

namespace Proxy.Tests.EndToEnd;

/// <summary>
/// An answer without its values: status, content type, framing, its members and their types. The frames of a stream are merged, except Ollama's last line and
/// named events, because the way in which a text is cut means nothing.
/// </summary>
internal sealed record RecordedShape(int Status, string? ContentType, string Framing, IReadOnlyDictionary<string, string> Members)
{
    public static RecordedShape Of(int status, Func<string, string?> header, byte[] body, string method) => new(
        status,
        header("content-type"),
        header("transfer-encoding") is not null ? "chunked" : header("content-length") is not null ? "length" : "none",
        method == "HEAD" ? new Dictionary<string, string>() : MembersOf(header("content-type") ?? "", body));

    /// <summary>The differences, as the table in <c>docs/dialects.md</c> writes them; if the statuses differ, nothing else is reported.</summary>
    public IEnumerable<string> Differences(RecordedShape ours)
    {
        if (Status != ours.Status) return [$"status {Status} → {ours.Status}"];

        var found = new List<string>();
        if (ContentType != ours.ContentType) found.Add($"content-type {ContentType ?? "none"} → {ours.ContentType ?? "none"}");
        if (Framing != ours.Framing) found.Add($"framing {Framing} → {ours.Framing}");
        foreach (var (path, types) in Members)
        {
            if (!ours.Members.TryGetValue(path, out var said)) found.Add("-" + path);
            else if (said != types) found.Add($"{path}: {types} → {said}");
        }

        found.AddRange(ours.Members.Keys.Where(path => !Members.ContainsKey(path)).Select(path => "+" + path));
        // Members inside a missing or new member are not reported again.
        return found.Where(difference => !found.Any(outer => outer != difference && outer[0] is '-' or '+'
            && (difference.StartsWith(outer + ".", StringComparison.Ordinal) || difference.StartsWith(outer + "[]", StringComparison.Ordinal))));
    }

    private static Dictionary<string, string> MembersOf(string contentType, byte[] body)
    {
        var found = new Dictionary<string, SortedSet<string>>();
        var text = Encoding.UTF8.GetString(body);
        if (contentType.StartsWith("application/x-ndjson", StringComparison.Ordinal))
        {
            foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            {
                var json = JsonElement.Parse(line);
                Add(json, json.TryGetProperty("done", out var done) && done.ValueKind is JsonValueKind.True ? "last" : "line");
            }
        }
        else if (contentType.StartsWith("text/event-stream", StringComparison.Ordinal))
        {
            foreach (var item in SseParser.Create(new MemoryStream(body)).Enumerate())
            {
                if (item.Data == "[DONE]") Note("[DONE]", "text");
                else Add(JsonElement.Parse(item.Data), item.EventType == "message" ? "data" : item.EventType);
            }
        }
        else if (contentType.StartsWith("application/json", StringComparison.Ordinal))
        {
            Add(JsonElement.Parse(text), "");
        }
        else
        {
            Note(text.Trim(), "text");
        }

        return found.ToDictionary(pair => pair.Key, pair => string.Join("/", pair.Value));

        void Add(JsonElement value, string path)
        {
            if (path.Length > 0) Note(path, TypeOf(value));
            switch (value.ValueKind)
            {
                case JsonValueKind.Object:
                    foreach (var member in value.EnumerateObject()) Add(member.Value, path.Length == 0 ? member.Name : $"{path}.{member.Name}");
                    break;
                case JsonValueKind.Array:
                    foreach (var element in value.EnumerateArray()) Add(element, path + "[]");
                    break;
            }
        }

        void Note(string path, string type)
        {
            if (!found.TryGetValue(path, out var types)) found.Add(path, types = new SortedSet<string>(StringComparer.Ordinal));
            types.Add(type);
        }
    }

    private static string TypeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.True or JsonValueKind.False => "bool",
        JsonValueKind.Object => "object",
        JsonValueKind.Array => "array",
        JsonValueKind.String => "string",
        JsonValueKind.Number => "number",
        _ => "null",
    };
}
