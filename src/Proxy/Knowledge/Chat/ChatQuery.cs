using System.Text;
using Proxy.Chat;

namespace Proxy.Knowledge.Chat;

/// <summary>
/// Makes the query of a conversation: the text of the user's last turn. A turn of fewer than <see cref="FewWords"/> words ("and on Debian?") rarely stands
/// alone, so the user's turn before it is put in front. Results of tools are not turns of the user.
/// </summary>
internal static class ChatQuery
{
    public const int FewWords = 5;

    /// <summary>
    /// The most characters of a query. Of a longer text, its beginning and its end are used: questions stand before or after what they are about.
    /// </summary>
    public const int MostCharacters = 4000;

    /// <summary>The query; empty if the user wrote nothing.</summary>
    public static string Of(ChatRequest request)
    {
        string? last = null;
        for (var i = request.Messages.Count - 1; i >= 0; i--)
        {
            if (!IsTurn(request.Messages[i])) continue;
            var text = TextOf(request.Messages[i]);
            if (last is not null)
            {
                if (text.Length == 0) continue;
                return Cut(last.Length == 0 ? text : $"{text}\n{last}");
            }

            if (Words(text) >= FewWords) return Cut(text);
            last = text;
        }

        return Cut(last ?? "");
    }

    /// <summary>A message of the user in which there is something.</summary>
    public static bool IsTurn(ChatMessage message) => message is { Role: ChatRole.User, Content.Count: > 0 };

    /// <summary>
    /// Counts words: runs of letters and digits. In scripts that do not put spaces between words, two characters count as one word.
    /// </summary>
    internal static int Words(string text)
    {
        var (words, dense, within) = (0, 0, false);
        foreach (var rune in text.EnumerateRunes())
        {
            var isWord = Rune.IsLetterOrDigit(rune);
            if (isWord && HasNoSpaces(rune.Value))
            {
                dense++;
                within = false;
                continue;
            }

            if (isWord && !within) words++;
            within = isWord || (within && rune.Value is '\'' or '-' or '_' or '.');
        }

        return words + ((dense + 1) / 2);
    }

    private static bool HasNoSpaces(int character) => character is (>= 0x0E00 and <= 0x0EFF) or (>= 0x1780 and <= 0x17FF) or (>= 0x3040 and <= 0x30FF)
        or (>= 0x3400 and <= 0x9FFF) or (>= 0x20000 and <= 0x3FFFF);

    private static string TextOf(ChatMessage message) =>
        string.Join('\n', message.Content.OfType<ContentPart.Text>().Select(static part => part.Value)).Trim();

    private static string Cut(string text) =>
        text.Length <= MostCharacters ? text : $"{text[..(MostCharacters / 2)]}\n{text[^(MostCharacters / 2)..]}";
}
