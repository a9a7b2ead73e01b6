using System.Text;
using System.Text.Json;

namespace Proxy.Dialects.OpenAiResponses;

/// <summary>
/// The items of a host's response while it is read. An item is identified by its <c>output_index</c>, a call by its <c>call_id</c>, because some hosts give an
/// item another id in every event. Other hosts send no indexes, or wrong ones: then the item's id decides, and without it the item of the same kind that is
/// still unfinished is meant.
/// </summary>
internal sealed class OpenAiResponsesItems
{
    private readonly List<OpenAiResponsesItem> items = [];

    /// <summary>Calls that never received a name.</summary>
    public IEnumerable<OpenAiResponsesItem> Nameless =>
        items.Where(static item => item is { Kind: ResponseItemKind.FunctionCall, Call: null, Arguments.Length: > 0 });

    /// <summary>The item that an event starts. If the item at this index is already done, a new one is created.</summary>
    public OpenAiResponsesItem Begin(ResponseItemKind kind, int? place, JsonElement value)
    {
        var (id, callId) = (OpenAiResponsesJson.Text(value, "id"u8), OpenAiResponsesJson.Text(value, "call_id"u8));
        var known = Find(kind, place, id, callId);
        return known is null || (known.Done && known.Id != id && known.CallId != (callId ?? "")) ? Add(kind, place, id, callId) : known;
    }

    /// <summary>The item that an event continues or ends.</summary>
    public OpenAiResponsesItem Of(ResponseItemKind kind, int? place, string? id, string? callId)
    {
        var known = Find(kind, place, id, callId);
        if (known is null && place is null) known = items.FindLast(item => item.Kind == kind && !item.Done && item.MayBe(callId));
        if (known is null) return Add(kind, place, id, callId);
        known.Place ??= place;
        return known;
    }

    /// <summary>
    /// The item at this index of the whole response. Hosts may give it other ids there; each item is matched once. <paramref name="more"/> is the number of
    /// items of this kind from this index on.
    /// </summary>
    public OpenAiResponsesItem InSnapshot(ResponseItemKind kind, int place, JsonElement value, int more)
    {
        var (id, callId) = (OpenAiResponsesJson.Text(value, "id"u8), OpenAiResponsesJson.Text(value, "call_id"u8));
        var left = items.FindAll(item => item.Kind == kind && !item.Closed);
        var known = (callId is { Length: > 0 } ? left.Find(item => item.CallId == callId) : null)
            ?? left.Find(item => id is { Length: > 0 } && item.Id == id && item.MayBe(callId));
        if (known is null && kind is not ResponseItemKind.FunctionCall) known = left.Find(item => item.Place == place) ?? (left.Count >= more ? left[0] : null);
        known ??= left.Find(item => item.Place == place && item.MayBe(callId)) ?? left.Find(item => item.Says(value));
        known ??= Add(kind, place, id, callId);
        known.Closed = true;
        return known;
    }

    private OpenAiResponsesItem? Find(ResponseItemKind kind, int? place, string? id, string? callId)
    {
        OpenAiResponsesItem? found = null;
        foreach (var item in items)
        {
            if (item.Kind != kind || !item.MayBe(callId)) continue;
            var sameId = id is { Length: > 0 } && item.Id == id;
            if (callId is { Length: > 0 } && item.CallId == callId) return item;
            if (place is not null && item.Place == place)
            {
                if (sameId) return item;
                found = item;
            }
            else if (sameId && (place is null || item.Place is null))
            {
                found ??= item;
            }
        }

        return found;
    }

    private OpenAiResponsesItem Add(ResponseItemKind kind, int? place, string? id, string? callId)
    {
        var item = new OpenAiResponsesItem(kind) { Place = place, Id = id, CallId = callId is { Length: > 0 } ? callId : null };
        items.Add(item);
        return item;
    }
}

/// <summary>The state of one item: what of it has been received and emitted.</summary>
internal sealed class OpenAiResponsesItem(ResponseItemKind kind)
{
    private readonly List<int> parts = [];
    private bool uncounted;

    public ResponseItemKind Kind => kind;

    /// <summary>Its <c>output_index</c>.</summary>
    public int? Place { get; set; }
    public string? Id { get; init; }
    public string? CallId { get; set; }

    /// <summary>The name of a call; null for other items.</summary>
    public string? Name { get; set; }
    public StringBuilder Arguments { get; } = new();

    /// <summary>The call's number, counted over the calls emitted so far. Null until the call is emitted.</summary>
    public int? Call { get; set; }

    /// <summary>True once the item's own last event has arrived.</summary>
    public bool Done { get; set; }

    /// <summary>True once the item has been matched in the whole response.</summary>
    public bool Closed { get; set; }

    /// <summary>Which of the two kinds of reasoning events this item uses.</summary>
    public string? ReasoningFrom { get; set; }

    public bool Told => ToldLength > 0;

    /// <summary>How many characters of its text have been emitted.</summary>
    public int ToldLength { get; private set; }

    public static ResponseItemKind? KindOf(JsonElement item) => OpenAiResponsesJson.Text(item, "type"u8) switch
    {
        "message" => ResponseItemKind.Message,
        "reasoning" => ResponseItemKind.Reasoning,
        "function_call" => ResponseItemKind.FunctionCall,
        _ => null,
    };

    /// <summary>Records that text of a part was emitted. Without a part number, all parts count as emitted.</summary>
    public void Tell(int? part, int length)
    {
        ToldLength += length;
        if (part is not { } number) uncounted = true;
        else if (!parts.Contains(number)) parts.Add(number);
    }

    public bool HasTold(int part) => uncounted || parts.Contains(part);

    /// <summary>True if this item can be the call with that id: the ids are equal, or one of the two is missing.</summary>
    public bool MayBe(string? callId) => string.IsNullOrEmpty(callId) || CallId is null || CallId == callId;

    /// <summary>True if a call of the whole response has the same name and arguments as this one, under another id.</summary>
    public bool Says(JsonElement call) =>
        OpenAiResponsesJson.Text(call, "name"u8) == Name && OpenAiResponsesJson.Text(call, "arguments"u8) is { } written && Arguments.Equals(written.AsSpan());
}
