using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Http;

/// <summary>
/// Response headers that describe how an answer came about. A whole answer has all of them. A stream starts before most of them are known, so it has them in
/// its last frame instead (<see cref="ProxyNote"/>).
/// </summary>
internal static class AnswerHeaders
{
    private const int LongestWord = 256, LongestList = 4096;

    /// <summary>Sets what is known of the call before its answer begins.</summary>
    public static void Set(HttpResponse response, ChatCall call)
    {
        if (response.HasStarted) return;
        if (call.RequestId is { } id) response.Headers["x-req-id"] = id;
        if (call.Info.Cache is { } cache) response.Headers["x-cache"] = cache;
    }

    /// <summary>Sets the headers that the route added, and those about a search in documents.</summary>
    public static void Set(HttpResponse response, ChatAnswer answer)
    {
        if (answer is ChatAnswer.Translated { Search: { } search, Sources: { } sources } && !response.HasStarted)
        {
            response.Headers["x-rag-sources"] = Listed(sources);
            if (search.Trace is { } trace) response.Headers["x-rag-trace"] = trace;
        }

        for (var i = 0; i < answer.Headers.Count && !response.HasStarted; i++) response.Headers[answer.Headers[i].Key] = answer.Headers[i].Value;
    }

    /// <summary>Sets the values of <c>x_proxy</c>. Workers choose them freely, so each is percent-encoded: any text is then valid in a header.</summary>
    public static void Set(HttpResponse response, IReadOnlyList<ChatEvent> events, ReplyStamp stamp)
    {
        var note = new ProxyNote(stamp);
        foreach (var happened in events) note.See(happened);
        if (note.Winner is { } winner) response.Headers["x-proxy-winner"] = Escaped(winner);
        if (note.Task is { } task) response.Headers["x-proxy-task"] = Escaped(task);
        if (note.RunId is { } run) response.Headers["x-proxy-run-id"] = Escaped(run);
        var ids = new StringBuilder();
        foreach (var source in note.Sources)
        {
            if (ids.Length < LongestList) ids.Append(ids.Length > 0 ? ", " : "").Append(Escaped(source.Id));
        }

        if (ids.Length > 0) response.Headers["x-proxy-sources"] = ids.ToString();
    }

    /// <summary>
    /// The sources as a JSON list in ASCII: <c>number</c>, <c>file_id</c>, <c>filename</c>, <c>page</c>, <c>score</c>. Those that would make it longer than
    /// <see cref="LongestList"/> are left out.
    /// </summary>
    private static string Listed(IReadOnlyList<Source> sources)
    {
        var list = new StringBuilder("[");
        foreach (var source in sources)
        {
            using var body = new PooledBody(256);
            using (var json = new Utf8JsonWriter(body)) // its own encoder leaves only ASCII
            {
                json.WriteStartObject();
                if (source.Number is { } number) json.WriteNumber("number"u8, number);
                json.WriteString("file_id"u8, source.FileId ?? source.Id);
                if (source.FileName is { } name) json.WriteString("filename"u8, name.Length > LongestWord ? name[..LongestWord] : name);
                if (source.Page is { } page) json.WriteNumber("page"u8, page);
                if (source.Score is { } score) json.WriteNumber("score"u8, score);
                json.WriteEndObject();
            }

            if (list.Length + body.Length > LongestList) break;
            list.Append(list.Length > 1 ? "," : "").Append(Encoding.ASCII.GetString(body.Span));
        }

        return list.Append(']').ToString();
    }

    private static string Escaped(string word) => Uri.EscapeDataString(word.Length > LongestWord ? word[..LongestWord] : word);
}
