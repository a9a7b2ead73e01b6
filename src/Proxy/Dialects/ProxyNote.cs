using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// How an answer came about, beyond what its dialect can express: <c>x_proxy</c> in the last frame of a stream and in a whole answer. Empty for the answer of a
/// model's host, which then has no such member. Mutable: keep it in a field.
/// </summary>
internal struct ProxyNote(ReplyStamp stamp)
{
    private List<Source>? sources = stamp.Sources is { } known ? [.. known] : null;

    /// <summary>The workflow task whose answer was chosen among several.</summary>
    public string? Winner { get; private set; }

    /// <summary>The workflow task that spoke last.</summary>
    public string? Task { get; private set; }

    public readonly string? RunId => stamp.RunId;

    public readonly IReadOnlyList<Source> Sources => sources ?? [];

    public readonly bool IsEmpty => (Winner ?? Task ?? RunId) is null && sources is null;

    public void See(ChatEvent happened)
    {
        if (happened.Origin?.Task is { } speaking) Task = speaking;
        if (happened is ChatEvent.Finished { Winner: { } chosen }) Winner = chosen;
        else if (happened is ChatEvent.SourcesFound found) (sources ??= []).AddRange(found.Sources);
    }

    /// <summary>Writes the member, unless it is empty.</summary>
    public readonly void Write(Utf8JsonWriter json)
    {
        if (IsEmpty) return;
        json.WriteStartObject("x_proxy"u8);
        json.WriteString("trace_id"u8, stamp.TraceId);
        if (Winner is { } winner) json.WriteString("winner"u8, winner);
        if (Task is { } task) json.WriteString("task"u8, task);
        if (RunId is { } run) json.WriteString("run_id"u8, run);
        if (sources is not null) WriteSources(json, sources);
        json.WriteEndObject();
    }

    /// <summary>Writes the member <c>sources</c> in the form in which workers publish it.</summary>
    /// <param name="json">The writer, inside an object.</param>
    /// <param name="sources">The sources.</param>
    /// <param name="whole">Also writes the passages and the attributes of their files, for a reader inside the proxy.</param>
    public static void WriteSources(Utf8JsonWriter json, IReadOnlyList<Source> sources, bool whole = false)
    {
        json.WriteStartArray("sources"u8);
        foreach (var source in sources)
        {
            json.WriteStartObject();
            json.WriteOptional("number"u8, source.Number);
            json.WriteString("id"u8, source.Id);
            if (source.Title is { } title) json.WriteString("title"u8, title);
            if (source.Uri is { } uri) json.WriteString("uri"u8, uri);
            if (source.Score is { } score) json.WriteNumber("score"u8, score);
            json.WriteOptional("file_id"u8, source.FileId);
            json.WriteOptional("filename"u8, source.FileName);
            json.WriteOptional("page"u8, source.Page);
            if (whole)
            {
                json.WriteOptional("text"u8, source.Text);
                json.WriteOptional("attributes", source.Attributes);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
