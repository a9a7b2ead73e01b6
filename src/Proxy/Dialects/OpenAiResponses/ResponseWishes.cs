using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>The members of a request that concern responses that are kept, and where they stand in the body.</summary>
internal sealed class ResponseWishes
{
    private readonly List<BodyEdit> hostEdits = []; // what no host gets as the client wrote it
    private Range? input, previous, stream;

    /// <summary>Later calls can continue the response. Null if the body does not say.</summary>
    public bool? Store { get; private set; }

    /// <summary>The response is generated without the client, which asks for it later.</summary>
    public bool Background { get; private set; }

    /// <summary>The id of the response that the call continues. Null: it continues none.</summary>
    public string? Previous { get; private set; }

    /// <summary>The client reads the response as a stream.</summary>
    public bool Streams { get; private set; }

    /// <summary>
    /// Whether the body may have a wish that <see cref="Read"/> would find. Cheap: called for every request. A body that says <c>"store": false</c>, as agents
    /// do, is not read for it.
    /// </summary>
    public static bool MayBeIn(ReadOnlySpan<byte> body) =>
        body.IndexOf("\"previous_response_id\""u8) >= 0 || body.IndexOf("\"background\""u8) >= 0 || body.IndexOf("\"conversation\""u8) >= 0
            || MayStore(body) || HasEscapedLetter(body);

    /// <summary>Finds the wishes. The body is valid JSON. Returns the error if one of them is not possible or of the wrong type.</summary>
    public static ProxyError? Read(ReadOnlySpan<byte> body, out ResponseWishes wishes)
    {
        wishes = new ResponseWishes();
        var seen = new HashSet<string>();
        var json = WireJson.Open(body);
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var name = NameOf(ref json);
            json.Read();
            var start = (int)json.TokenStartIndex;
            if (name is not null && !seen.Add(name)) return Wrong(name, $"the body has \"{name}\" twice; it must occur once");
            if (name is not null && json.TokenType is not JsonTokenType.Null && wishes.Take(name, ref json) is { } problem) return problem;
            json.Skip();
            if (name is not null) wishes.Place(name, start..(int)json.BytesConsumed);
        }

        return null;
    }

    /// <summary>The body for the hosts.</summary>
    /// <param name="body">The client's body.</param>
    /// <param name="earlier">The items of the earlier conversation, separated by commas. Null: the host remembers it by its own id.</param>
    public PooledBody Written(ReadOnlySpan<byte> body, ReadOnlySpan<byte> earlier)
    {
        List<BodyEdit> edits = [.. hostEdits];
        if (Background && !Streams)
        {
            if (stream is { } said) edits.Add(new(said, "true"u8.ToArray()));
            else edits.Add(new((body.IndexOf((byte)'{') + 1)..(body.IndexOf((byte)'{') + 1), "\"stream\":true,"u8.ToArray()));
        }

        if (!earlier.IsEmpty)
        {
            if (previous is { } id) edits.Add(new(id, "null"u8.ToArray()));
            if (input is { } items) edits.Add(new(items, Joined(earlier, body[items])));
        }

        return BodyEdit.Apply([.. edits.OrderBy(static edit => edit.Place.Start.Value)], body);
    }

    private static byte[] Joined(ReadOnlySpan<byte> earlier, ReadOnlySpan<byte> own)
    {
        using var joined = new PooledBody(earlier.Length + own.Length + 64);
        joined.Write("["u8);
        joined.Write(earlier);
        if (own is [(byte)'"', ..])
        {
            joined.Write(",{\"role\":\"user\",\"content\":"u8);
            joined.Write(own);
            joined.Write("}"u8);
        }
        else if (own is [(byte)'[', .. var items, (byte)']'] && !items.Trim(" \t\r\n"u8).IsEmpty)
        {
            joined.Write(","u8);
            joined.Write(items);
        }

        joined.Write("]"u8);
        return joined.Span.ToArray();
    }

    private ProxyError? Take(string name, ref Utf8JsonReader json)
    {
        switch (name)
        {
            case "store" or "background" or "stream":
                if (json.TokenType is not (JsonTokenType.True or JsonTokenType.False)) return Wrong(name, $"\"{name}\" must be true or false");
                var said = json.TokenType is JsonTokenType.True;
                if (name is "store") Store = said;
                else if (name is "stream") Streams = said;
                else Background = said;
                return null;
            case "previous_response_id":
                if (json.TokenType is not JsonTokenType.String) return Wrong(name, "\"previous_response_id\" must be a string");
                Previous = json.GetString();
                return null;
            case "conversation":
                return Wrong(name, "\"conversation\" is not supported: this proxy keeps responses, but no conversations; use \"previous_response_id\", "
                    + "or send the whole conversation as \"input\"");
            default:
                return null;
        }
    }

    private void Place(string name, Range place)
    {
        if (name is "input") input = place;
        else if (name is "stream") stream = place;
        else if (name is "previous_response_id") previous = place;
        else if (name is "background" && Background) hostEdits.Add(new(place, "false"u8.ToArray()));
    }

    private static string? NameOf(ref Utf8JsonReader json) =>
        json.ValueTextEquals("input"u8) ? "input"
        : json.ValueTextEquals("store"u8) ? "store"
        : json.ValueTextEquals("stream"u8) ? "stream"
        : json.ValueTextEquals("background"u8) ? "background"
        : json.ValueTextEquals("conversation"u8) ? "conversation"
        : json.ValueTextEquals("previous_response_id"u8) ? "previous_response_id"
        : null;

    private static bool MayStore(ReadOnlySpan<byte> body)
    {
        var name = "\"store\""u8;
        while (body.IndexOf(name) is var at and >= 0)
        {
            body = body[(at + name.Length)..];
            if (body.TrimStart(" \t\r\n:"u8) is not [(byte)'f', ..]) return true;
        }

        return false;
    }

    /// <summary>Whether some letter is written as an escape, with which a member's name could be hidden from a search. No encoder escapes letters.</summary>
    private static bool HasEscapedLetter(ReadOnlySpan<byte> body)
    {
        while (body.IndexOf("\\u00"u8) is var at and >= 0)
        {
            body = body[(at + 4)..];
            if (body is [>= (byte)'5' and <= (byte)'7', ..]) return true;
        }

        return false;
    }

    private static ProxyError Wrong(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
