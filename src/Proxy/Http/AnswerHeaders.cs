using System.Text;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Http;

/// <summary>The headers by which an answer says how it came to be. A whole answer has them all; a stream begins before most of it is known, and says it in its last frame.</summary>
internal static class AnswerHeaders
{
    private const int LongestWord = 256, LongestList = 4096;

    /// <summary>Those that the route gave the answer.</summary>
    public static void Set(HttpResponse response, ChatAnswer answer)
    {
        for (var i = 0; i < answer.Headers.Count && !response.HasStarted; i++) response.Headers[answer.Headers[i].Key] = answer.Headers[i].Value;
    }

    /// <summary>What a whole answer says in <c>x_proxy</c>. Workers choose these words: each is escaped as in a URL, so that it can stand in a header.</summary>
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

    private static string Escaped(string word) => Uri.EscapeDataString(word.Length > LongestWord ? word[..LongestWord] : word);
}
