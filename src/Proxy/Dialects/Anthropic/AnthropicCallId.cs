using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// Call ids. Anthropic's API and its clients accept only letters, digits, <c>_</c> and <c>-</c>, but other hosts give ids such as <c>functions.search:0</c>.
/// Such an id is sent to the client as base64 behind a prefix, and decoded again when the client sends it back.
/// </summary>
internal static class AnthropicCallId
{
    private const string Mark = "toolu_b64_";

    private static readonly SearchValues<char> Taken = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    public static string Safe(string id) => id.AsSpan().ContainsAnyExcept(Taken) ? Mark + Base64Url.EncodeToString(Encoding.UTF8.GetBytes(id)) : id;

    /// <summary>Undoes <see cref="Safe"/>; an id that <see cref="Safe"/> did not encode is returned unchanged.</summary>
    public static string Restored(string id)
    {
        if (!id.StartsWith(Mark, StringComparison.Ordinal) || !Base64Url.IsValid(id.AsSpan(Mark.Length))) return id;
        var restored = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(id.AsSpan(Mark.Length)));
        return Safe(restored) == id ? restored : id;
    }
}
