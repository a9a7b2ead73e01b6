using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// What an answer says of how it came to be, beside what its dialect can say: <c>x_proxy</c> in the last frame of a stream and in a whole answer. The answer of a model's host has nothing of it,
/// and no such member. Mutable: keep it in a field.
/// </summary>
internal struct ProxyNote
{
    private List<Source>? sources;

    /// <summary>The task of a workflow whose answer was chosen among several.</summary>
    public string? Winner { get; private set; }

    /// <summary>The task of a workflow that spoke last.</summary>
    public string? Task { get; private set; }

    public readonly IReadOnlyList<Source> Sources => sources ?? [];

    public void See(ChatEvent happened)
    {
        if (happened.Origin?.Task is { } speaking) Task = speaking;
        if (happened is ChatEvent.Finished { Winner: { } chosen }) Winner = chosen;
        else if (happened is ChatEvent.SourcesFound found) (sources ??= []).AddRange(found.Sources);
    }

    public readonly bool SaysNothing(ReplyStamp stamp) => (Winner ?? Task ?? stamp.RunId) is null && sources is null;

    /// <summary>The member, where there is anything to say.</summary>
    public readonly void Write(Utf8JsonWriter json, ReplyStamp stamp)
    {
        if (SaysNothing(stamp)) return;
        json.WriteStartObject("x_proxy"u8);
        json.WriteString("trace_id"u8, stamp.TraceId);
        if (Winner is { } winner) json.WriteString("winner"u8, winner);
        if (Task is { } task) json.WriteString("task"u8, task);
        if (stamp.RunId is { } run) json.WriteString("run_id"u8, run);
        if (sources is not null) WriteSources(json, sources);
        json.WriteEndObject();
    }

    /// <summary>The member <c>sources</c>, in the form that workers publish it in, too.</summary>
    public static void WriteSources(Utf8JsonWriter json, IReadOnlyList<Source> sources)
    {
        json.WriteStartArray("sources"u8);
        foreach (var source in sources)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, source.Id);
            if (source.Title is { } title) json.WriteString("title"u8, title);
            if (source.Uri is { } uri) json.WriteString("uri"u8, uri);
            if (source.Score is { } score) json.WriteNumber("score"u8, score);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
