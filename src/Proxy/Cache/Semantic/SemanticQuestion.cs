using System.Security.Cryptography;
using System.Text;
using Proxy.Chat;

namespace Proxy.Cache.Semantic;

/// <summary>A call that the semantic cache may answer.</summary>
/// <param name="Scope">Equal for calls that differ only in the question: owner, model, system prompt, sampling, format, documents. 64 hex digits.</param>
/// <param name="Text">The question.</param>
/// <param name="Words">Its words (<see cref="QuestionWords"/>).</param>
internal sealed record SemanticQuestion(string Scope, string Text, string Words)
{
    /// <summary>A longer text is not a question, and its vector would not be of all of it.</summary>
    private const int LongestText = 400;

    /// <summary>
    /// The question of a call; null if the call has several turns, tools, images, or anything else whose meaning the question's words do not carry.
    /// </summary>
    /// <param name="routed">The call.</param>
    /// <param name="owner">Who may have the answer; empty: everyone.</param>
    /// <param name="documents">The workspaces of the call and their versions; empty: it has none.</param>
    public static SemanticQuestion? Of(in RoutedCall routed, string owner, string documents)
    {
        if (routed.Call.TryGetRequest(out var request) is not null) return null;
        if (request is not { Choices: null or 1, Prompt: null, LogProbabilities: not true, Tools.Count: 0 }) return null;
        ChatMessage? asked = null;
        foreach (var message in request.Messages)
        {
            if (message.Role is ChatRole.System or ChatRole.Developer && asked is null) continue;
            if (message.Role is not ChatRole.User || asked is not null || message.RoleWord is not null || message.Unknown.Count > 0) return null;
            asked = message;
        }

        if (asked is null || asked.Content is not [ContentPart.Text { Unknown.Count: 0 } only]) return null;
        var text = only.Value.Trim();
        if (text.Length is 0 or > LongestText || text.Contains('\n', StringComparison.Ordinal)) return null;
        var words = QuestionWords.Of(text);
        if (words.Length == 0) return null;

        var rest = request with
        {
            Stream = false, IncludeUsage = false,
            Messages = [.. request.Messages.Select(message => ReferenceEquals(message, asked) ? message with { Content = [] } : message)],
        };
        var around = RequestDigest.Of(routed, rest);
        var scope = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{owner}\n{around}\n{documents}")));
        return new(scope, text, words);
    }
}
