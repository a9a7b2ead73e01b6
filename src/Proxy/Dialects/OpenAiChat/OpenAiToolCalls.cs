using System.Text;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>
/// The tool calls of one choice while they are read. A piece belongs to the call with its id, otherwise to the most recent call with its index, otherwise to
/// the most recent call. Hosts omit indexes and ids, give all calls the same ones, change the id in every piece, and send the name late or in two pieces;
/// <see cref="Continues"/> decides when a piece starts a new call. A call is emitted once its name is known to be complete: with its first arguments, or at the
/// end.
/// </summary>
internal sealed class OpenAiToolCalls(int choice)
{
    /// <summary>Stands for the missing index of the single call in a legacy <c>function_call</c>.</summary>
    private const int LegacyIndex = -1;

    private readonly List<Call> calls = [];
    private int lists, pieces;

    /// <summary>True once a call has been emitted.</summary>
    public bool Any { get; private set; }

    /// <summary>Reads the list at the reader's position.</summary>
    public void ReadList(ref Utf8JsonReader list, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        lists++;
        while (list.Read() && list.TokenType is JsonTokenType.StartObject) ReadPiece(ref list, frame, events);
    }

    /// <summary>
    /// Reads the object of a legacy <c>function_call</c>. It is ignored if the host also sent <c>tool_calls</c>, because it then holds the same call.
    /// </summary>
    public void ReadLegacy(ReadOnlySpan<byte> function, List<ChatEvent> events)
    {
        if (calls.Exists(static call => call.HostIndex != LegacyIndex)) return;
        lists++;
        var json = WireJson.Open(function);
        ReadFunction(ref json, LegacyIndex, null, function, events);
    }

    /// <summary>Called at the end of the answer: emits the calls that are still held. Pieces with neither a name nor arguments are dropped.</summary>
    public void Flush(List<ChatEvent> events)
    {
        foreach (var call in calls)
        {
            if (call.Pieces.Flush() is { Length: > 0 } rest) Add(call, rest, null, events);
            if (!call.Told && !call.Repeats && (call.Name is not null || call.Progress.Begun)) Tell(call, events);
        }
    }

    private void ReadPiece(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        int? index = null;
        string? id = null;
        Utf8JsonReader function = default;
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("index"u8)) index = json.ReadInt() ?? index;
            else if (json.ValueTextEquals("id"u8)) id = json.ReadText();
            else if (json.ValueTextEquals("function"u8)) json.ReadLater(JsonTokenType.StartObject, ref function);
            else json.Skip();
        }

        ReadFunction(ref function, index, id, frame, events);
    }

    private void ReadFunction(ref Utf8JsonReader json, int? index, string? id, ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        string? name = null;
        Utf8JsonReader written = default;
        while (json.TokenType is not JsonTokenType.None && json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            var argues = json.ValueTextEquals("arguments"u8);
            if (json.ValueTextEquals("name"u8)) name = json.ReadText();
            else json.Read();
            if (argues) written = json;
            json.Skip();
        }

        var call = CallOf(index, id, name, out var lateId);
        if (call.Progress.Whole && IsRepeated(call, written, frame)) return;
        if (call.Progress.Whole && name is not null && id is not null && Argues(written)) call = Open(index, null); // the host uses one id for all calls
        if (name is not null) call.AddName(name);
        var arguments = written.TokenType switch
        {
            JsonTokenType.String => call.Pieces.Take(ref written),
            JsonTokenType.StartObject => RawText(ref written, frame), // some hosts send an object instead of a string
            _ => "",
        };
        if (arguments.Length > 0 || lateId is not null) Add(call, arguments, lateId, events, announced: name is null);
    }

    private void Add(Call call, string arguments, string? lateId, List<ChatEvent> events, bool announced = false)
    {
        call.Progress.Add(arguments);
        call.Arguments.Append(arguments);
        if (call.Told)
        {
            events.Add(new ChatEvent.ToolCall(call.Index, lateId, null, arguments.Length == 0 ? null : arguments) { Choice = choice });
            return;
        }

        if (call.Name is null || !call.Progress.Begun) return;
        // The name arrived in an earlier piece without arguments, so it is emitted separately, as the host sent it.
        if (!announced || call.Arguments.Length != arguments.Length)
        {
            Tell(call, events);
            return;
        }

        Tell(call, events, withArguments: false);
        events.Add(new ChatEvent.ToolCall(call.Index, null, null, arguments) { Choice = choice });
    }

    private void Tell(Call call, List<ChatEvent> events, bool withArguments = true)
    {
        Any = call.Told = true;
        events.Add(new ChatEvent.ToolCall(call.Index, call.Id, call.Name,
            withArguments && call.Arguments.Length > 0 ? call.Arguments.ToString() : null) { Choice = choice });
    }

    /// <summary>The call that a piece belongs to. <paramref name="lateId"/> is the call's id if the call was emitted before the id was known.</summary>
    private Call CallOf(int? index, string? id, string? name, out string? lateId)
    {
        Call? named = null, latest = null;
        lateId = null;
        foreach (var call in calls)
        {
            if (id is not null && call.Id == id) named = call;
            if ((index is null || call.HostIndex == index) && call.Spoke > (latest?.Spoke ?? 0)) latest = call;
        }

        // An index that already has a call, or that comes with a name, is a different call, even if the host uses one id for all calls.
        if (named is { HostIndex: { } other } && index is not null && index != other && (name is not null || latest is not null)) (named, id) = (null, null);
        if (index is not null && latest is null && calls is [.., { HostIndex: null } last] && (name is null || last.Name is null)
            && (id is null || last.Id is null))
            latest = last; // the host sent the index late
        var known = named ?? latest;
        if (known is null) return Open(index, id);
        if (!Continues(known, named is not null, index, id, name))
        {
            var repeats = id is null && name == known.Name && known.Progress.Whole && known.List != lists;
            return Open(index, named is null ? id : null, repeats);
        }

        if (known.Told && known.Id is null) lateId = id;
        known.HostIndex ??= index;
        known.Id ??= id;
        known.List = lists;
        known.Spoke = ++pieces;
        return known;
    }

    /// <summary>
    /// True if the piece continues the known call, which was found by the piece's id or index or because it was the most recent one. A repeated or split name
    /// does not start a new call; a name that arrives after arguments does.
    /// </summary>
    private bool Continues(Call known, bool byId, int? index, string? id, string? name)
    {
        var otherId = id is not null && !byId && known.Id is not null;
        if (known.List == lists && !byId && (name is not null || otherId)) return false; // two entries of one list are two calls
        if (name is null) return !otherId || (!known.Progress.Whole && (index is not null || known.Progress.Begun));
        if (known.Name is null) return true;
        if (otherId || (id is not null && !byId && index is null)) return false;
        if (!known.Progress.Begun) return true;
        return byId ? name == known.Name || !known.Progress.Whole : name == known.Name && !known.Progress.Whole;
    }

    private Call Open(int? index, string? id, bool repeats = false)
    {
        var call = new Call(calls.Count) { HostIndex = index, Id = id, List = lists, Spoke = ++pieces, MayRepeat = repeats };
        calls.Add(call);
        return call;
    }

    /// <summary>True if a complete call is sent a second time, as some hosts do at the end.</summary>
    private static bool IsRepeated(Call call, Utf8JsonReader written, ReadOnlySpan<byte> frame)
    {
        if (!Argues(written)) return false;
        var again = new TextPieces();
        var text = written.TokenType is JsonTokenType.String ? again.Take(ref written) : RawText(ref written, frame);
        return call.Arguments.Equals(text.AsSpan());
    }

    private static bool Argues(Utf8JsonReader written) =>
        written.TokenType is JsonTokenType.StartObject || (written.TokenType is JsonTokenType.String && !written.ValueSpan.IsEmpty);

    private static string RawText(ref Utf8JsonReader json, ReadOnlySpan<byte> frame)
    {
        var start = (int)json.TokenStartIndex;
        json.Skip();
        return Encoding.UTF8.GetString(frame[start..(int)json.BytesConsumed]);
    }

    private sealed class Call(int index)
    {
        public TextPieces Pieces;
        public ArgumentsProgress Progress;

        public int Index => index;
        public int? HostIndex { get; set; }
        public string? Id { get; set; }
        public string? Name { get; private set; }

        /// <summary>All arguments received so far.</summary>
        public StringBuilder Arguments { get; } = new();
        public bool Told { get; set; }

        /// <summary>The numbers of the list and of the piece in which this call last appeared.</summary>
        public int List { get; set; }
        public int Spoke { get; set; }

        /// <summary>
        /// True if the call began with the name of an already complete call and without arguments. If no arguments follow, it only repeats that call's name.
        /// </summary>
        public bool MayRepeat { get; init; }
        public bool Repeats => MayRepeat && !Progress.Begun;

        /// <summary>Adds a piece of the name. An identical piece is ignored; a piece that begins with the whole name so far replaces it.</summary>
        public void AddName(string piece)
        {
            if (Told || Name == piece || (Name is not null && Progress.Begun)) return;
            Name = Name is null || piece.StartsWith(Name, StringComparison.Ordinal) ? piece : Name + piece;
        }
    }
}
