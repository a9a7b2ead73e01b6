using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Proxy.Dialects.Anthropic;

/// <summary>
/// The ids of calls: Anthropic's API, and clients that were made for it, take only letters, digits, <c>_</c> and <c>-</c>, and other hosts give <c>functions.search:0</c>. Such an id crosses in base64 behind a mark,
/// and is the host's own again when the client sends it back.
/// </summary>
internal static class AnthropicCallId
{
    private const string Mark = "toolu_b64_";

    private static readonly SearchValues<char> Taken = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    public static string Safe(string id) => id.AsSpan().ContainsAnyExcept(Taken) ? Mark + Base64Url.EncodeToString(Encoding.UTF8.GetBytes(id)) : id;

    /// <summary>The id that <see cref="Safe"/> made safe; any other is as it was.</summary>
    public static string Restored(string id)
    {
        if (!id.StartsWith(Mark, StringComparison.Ordinal) || !Base64Url.IsValid(id.AsSpan(Mark.Length))) return id;
        var restored = Encoding.UTF8.GetString(Base64Url.DecodeFromChars(id.AsSpan(Mark.Length)));
        return Safe(restored) == id ? restored : id;
    }
}
