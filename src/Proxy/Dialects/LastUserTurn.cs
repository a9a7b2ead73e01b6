using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>
/// Finds where a text can be put in front of the last turn of the user, in a request that is otherwise left unchanged. That turn is the last message of the
/// user that has more than results of tools. The text goes before the turn's own words; where the turn is a list of parts, it is a part of its own, after the
/// results of tools, which must stay the first.
/// </summary>
internal static class LastUserTurn
{
    /// <summary>Puts the text before the last message of the user.</summary>
    /// <param name="body">A valid request.</param>
    /// <param name="list">The member with the messages or items; a text in their place is one message.</param>
    /// <param name="textType">The type of a part that is a text.</param>
    /// <param name="text">The text.</param>
    /// <returns>Null if there is no such turn, or if two parsers could find different ones.</returns>
    public static BodyEdit? PutBefore(ReadOnlySpan<byte> body, ReadOnlySpan<byte> list, ReadOnlySpan<byte> textType, string text)
    {
        try
        {
            return Find(body, list, textType, text);
        }
        catch (InvalidOperationException) // a name or word with half of a surrogate pair, which parsers read differently
        {
            return null;
        }
    }

    private static BodyEdit? Find(ReadOnlySpan<byte> body, ReadOnlySpan<byte> list, ReadOnlySpan<byte> textType, string text)
    {
        if (Member(body, list) is not { } place) return null;
        if (body[place.Start.Value] is (byte)'"') return InText(place.Start.Value, text);
        if (body[place.Start.Value] is not (byte)'[') return null;
        Range? turn = null;
        foreach (var message in Elements(body, place))
        {
            if (ContentOfUser(body, message, out var unclear) is { } content) turn = content;
            if (unclear) return null;
        }

        if (turn is not { } last) return null;
        return body[last.Start.Value] is (byte)'"' ? InText(last.Start.Value, text) : InParts(body, last, textType, text);
    }

    /// <summary>Puts the text before a prompt that is one text.</summary>
    /// <returns>Null if it is not one text.</returns>
    public static BodyEdit? PutBeforePrompt(ReadOnlySpan<byte> body, string text) =>
        Member(body, "prompt"u8) is { } place && body[place.Start.Value] is (byte)'"' ? InText(place.Start.Value, text) : null;

    /// <summary>The places of the elements of a list.</summary>
    public static List<Range> Elements(ReadOnlySpan<byte> body, Range list)
    {
        var elements = new List<Range>();
        var json = WireJson.Open(body[list]);
        var start = list.Start.Value;
        while (json.Read() && json.TokenType is not JsonTokenType.EndArray)
        {
            var from = start + (int)json.TokenStartIndex;
            json.Skip();
            elements.Add(from..(start + (int)json.BytesConsumed));
        }

        return elements;
    }

    /// <summary>The value of a member of the object; null if it has none of that name, or two.</summary>
    public static Range? Member(ReadOnlySpan<byte> body, ReadOnlySpan<byte> name)
    {
        Range? found = null;
        var json = WireJson.Open(body);
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var isIt = json.ValueTextEquals(name);
            json.Read();
            var from = (int)json.TokenStartIndex;
            json.Skip();
            if (!isIt) continue;
            if (found is not null) return null;
            found = from..(int)json.BytesConsumed;
        }

        return found;
    }

    /// <summary>The content of a message, if it is a turn of the user.</summary>
    private static Range? ContentOfUser(ReadOnlySpan<byte> body, Range message, out bool unclear)
    {
        unclear = false;
        if (body[message.Start.Value] is not (byte)'{') return null;
        var own = body[message];
        var start = message.Start.Value;
        if (!Is(own, "role"u8, "user"u8) || (Member(own, "type"u8) is { } type && !Equal(own[type], "message"u8))) return null;
        if (Member(own, "content"u8) is not { } content)
        {
            unclear = true; // none, or two
            return null;
        }

        var place = (start + content.Start.Value)..(start + content.End.Value);
        if (own[content.Start.Value] is (byte)'"') return place;
        unclear = own[content.Start.Value] is not (byte)'[';
        if (unclear) return null;
        foreach (var part in Elements(body, place))
        {
            if (!IsResult(body[part])) return place;
        }

        return null;
    }

    private static BodyEdit InText(int quote, string text) => new((quote + 1)..(quote + 1), Quoted(text).AsMemory(1..^1));

    private static BodyEdit? InParts(ReadOnlySpan<byte> body, Range parts, ReadOnlySpan<byte> textType, string text)
    {
        foreach (var part in Elements(body, parts))
        {
            if (IsResult(body[part])) continue;
            var output = new ArrayBufferWriter<byte>(text.Length + 64);
            using (var json = WireJson.NewWriter(output))
            {
                json.WriteStartOfType(textType);
                json.WriteString("text"u8, text);
                json.WriteEndObject();
            }

            output.Write(","u8);
            return new(part.Start..part.Start, output.WrittenMemory);
        }

        return null;
    }

    private static bool IsResult(ReadOnlySpan<byte> part) => part is [(byte)'{', ..] && Is(part, "type"u8, "tool_result"u8);

    private static bool Is(ReadOnlySpan<byte> value, ReadOnlySpan<byte> name, ReadOnlySpan<byte> text) =>
        Member(value, name) is { } member && Equal(value[member], text);

    private static bool Equal(ReadOnlySpan<byte> value, ReadOnlySpan<byte> text)
    {
        var json = WireJson.Open(value);
        return json.TokenType is JsonTokenType.String && json.ValueTextEquals(text);
    }

    private static byte[] Quoted(string text)
    {
        var output = new ArrayBufferWriter<byte>(text.Length + 64);
        using (var json = WireJson.NewWriter(output)) json.WriteStringValue(text);
        return output.WrittenSpan.ToArray();
    }
}
