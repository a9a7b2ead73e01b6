using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Events;

/// <summary>
/// Reads published events. Workers run different versions, so the reader is tolerant: members may come in any order (even <c>type</c> last), an event of an
/// unknown type is skipped and counted, and defaults may be left out (<c>{"type":"token","text":"…"}</c>): a missing index or choice is 0, a missing reason
/// is stop, arguments may be an object, an error may be a sentence. An event is dropped if its <c>seq</c> is not above that of every event before it: it was
/// delivered twice.
/// </summary>
internal sealed class EventSchemaReader : EventReader
{
    private bool finished;
    private long last = long.MinValue;

    /// <summary>The number of events whose type this version does not know.</summary>
    public int Skipped { get; private set; }

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (frame.Trim(" \t\r\n"u8).IsEmpty) return;
        try
        {
            var published = WireJson.Parse(frame);
            if (published.ValueKind is not JsonValueKind.Object) throw new JsonException("an event must be a JSON object");
            var seq = Number(published, "seq"u8);
            if (seq <= last) return;
            last = seq ?? last;
            if (Read(published) is not { } happened)
            {
                Skipped++;
                return;
            }

            finished |= happened is ChatEvent.Finished;
            events.Add(happened);
        }
        // The parser throws these for invalid JSON
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException)
        {
            finished = true;
            events.Add(new ChatEvent.Finished(FinishReason.Error,
                Error: new ProxyError(ProxyErrorKind.HostFailed, $"a published event is invalid: {problem.Message}")));
        }
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true) => finished;

    /// <summary>Reads one event. Null if this version does not know its type.</summary>
    /// <exception cref="InvalidOperationException">A member has the wrong form.</exception>
    /// <exception cref="FormatException">A number is too large.</exception>
    public static ChatEvent? Read(JsonElement published)
    {
        if (Event(published) is not { } happened) return null;
        var task = Text(published, "task"u8);
        var model = happened is ChatEvent.Started ? null : Text(published, "model"u8); // the start's is the model of the whole answer
        var seq = Number(published, "seq"u8);
        return happened with
        {
            Choice = (int)(Number(published, "choice"u8) ?? 0),
            Origin = (task ?? model) is null && seq is null ? null : new(task, model, seq),
            Opaque = ((JsonElement?)published).Member("opaque"u8),
        };
    }

    private static ChatEvent? Event(JsonElement published) => Text(published, "type"u8) switch
    {
        "started" => new ChatEvent.Started(Text(published, "id"u8), Text(published, "model"u8), Number(published, "created"u8)),
        "role" => new ChatEvent.RoleGiven(EventSchemaJson.Role(Text(published, "role"u8))),
        "token" => new ChatEvent.Token(Text(published, "text"u8) ?? "", EventSchemaJson.Kind(Text(published, "kind"u8))),
        "tool_call" => new ChatEvent.ToolCall(
            (int)(Number(published, "index"u8) ?? 0), Text(published, "id"u8), Text(published, "name"u8), Arguments(published)),
        "block_end" => new ChatEvent.BlockEnded(),
        "usage" => new ChatEvent.UsageReported(Counts(published.TryGetProperty("usage"u8, out var usage) ? usage : published)),
        "sources" => new ChatEvent.SourcesFound([.. Sources(published)]),
        "finished" => Finished(published),
        _ => null,
    };

    /// <summary>The end. Only known reasons are an end like a model's; any other is how a worker says that it failed.</summary>
    private static ChatEvent.Finished Finished(JsonElement published)
    {
        var word = Text(published, "reason"u8);
        var error = Error(published);
        if (error is null && EventSchemaJson.Reason(word) is { } reason and not FinishReason.Error) return new(reason, Text(published, "winner"u8));
        error ??= new(ProxyErrorKind.HostFailed,
            word is "error" ? "the worker failed and gave no reason" : $"the worker ended with the reason '{ModelName.Shown(word!)}'");
        return new(FinishReason.Error, Text(published, "winner"u8), error);
    }

    private static string? Arguments(JsonElement published) => ((JsonElement?)published).Member("arguments"u8) switch
    {
        { ValueKind: JsonValueKind.String } text => text.GetString(),
        { } json => json.GetRawText(),
        null => null,
    };

    /// <summary>Reads token counts, by our names or by those of OpenAI, Anthropic or Ollama.</summary>
    private static Usage Counts(JsonElement said)
    {
        var input = Count(said, "input_tokens"u8) ?? Count(said, "prompt_tokens"u8) ?? Count(said, "prompt_eval_count"u8) ?? 0;
        var (read, written) = (Count(said, "cache_read_input_tokens"u8), Count(said, "cache_creation_input_tokens"u8));
        return new(input + (read ?? 0) + (written ?? 0), // Anthropic counts what the cache has apart
            Count(said, "output_tokens"u8) ?? Count(said, "completion_tokens"u8) ?? Count(said, "eval_count"u8) ?? 0)
        {
            CachedInputTokens = Count(said, "cached_input_tokens"u8) ?? read ?? Count(Part(said, "prompt_tokens_details"u8), "cached_tokens"u8)
                ?? Count(Part(said, "input_tokens_details"u8), "cached_tokens"u8),
            CacheWrittenTokens = Count(said, "cache_written_tokens"u8) ?? written,
            ReasoningTokens = Count(said, "reasoning_tokens"u8) ?? Count(Part(said, "completion_tokens_details"u8), "reasoning_tokens"u8)
                ?? Count(Part(said, "output_tokens_details"u8), "reasoning_tokens"u8),
            TotalDuration = Number(said, "total_duration"u8),
            LoadDuration = Number(said, "load_duration"u8),
            PromptEvalDuration = Number(said, "prompt_eval_duration"u8),
            EvalDuration = Number(said, "eval_duration"u8),
        };
    }

    private static JsonElement Part(JsonElement said, ReadOnlySpan<byte> name) => said.TryGetProperty(name, out var part) ? part : default;

    private static int? Count(JsonElement said, ReadOnlySpan<byte> name) => said.ValueKind is JsonValueKind.Object ? (int?)Number(said, name) : null;

    /// <summary>A source without an id is identified by its URI; one without either is left out.</summary>
    internal static IEnumerable<Source> Sources(JsonElement published) =>
        from source in published.TryGetProperty("sources"u8, out var list) && list.ValueKind is JsonValueKind.Array ? list.EnumerateArray().AsEnumerable() : []
        let uri = Text(source, "uri"u8)
        let id = Text(source, "id"u8) ?? uri
        let score = ((JsonElement?)source).Member("score"u8)
        where id is not null
        select new Source(id, Text(source, "title"u8), uri, score is { ValueKind: JsonValueKind.Number } number ? number.GetDouble() : null)
        {
            Number = (int?)Number(source, "number"u8),
            FileId = Text(source, "file_id"u8),
            FileName = Text(source, "filename"u8),
            Page = (int?)Number(source, "page"u8),
            Text = Text(source, "text"u8),
            Attributes = ((JsonElement?)source).Member("attributes"u8),
        };

    private static ProxyError? Error(JsonElement published)
    {
        if (((JsonElement?)published).Member("error"u8) is not { } said) return null;
        if (said.ValueKind is not JsonValueKind.Object) return new ProxyError(ProxyErrorKind.HostFailed, said.ToString());
        var error = new ProxyError(EventSchemaJson.ErrorKind(Text(said, "kind"u8)), Text(said, "message"u8) ?? "the worker failed and gave no reason")
        {
            HostType = Text(said, "type"u8),
            Code = Text(said, "code"u8),
            Param = Text(said, "param"u8),
        };
        return Number(said, "status"u8) is { } status && status != error.Status ? error with { Status = (int)status } : error;
    }

    /// <summary>The text of that name in an object; null if there is none.</summary>
    public static string? Text(JsonElement value, ReadOnlySpan<byte> name) =>
        ((JsonElement?)value).Member(name) is { ValueKind: JsonValueKind.String } text ? text.GetString() : null;

    /// <summary>The whole number of that name in an object; null if there is none.</summary>
    public static long? Number(JsonElement value, ReadOnlySpan<byte> name) =>
        ((JsonElement?)value).Member(name) is { ValueKind: JsonValueKind.Number } number && number.TryGetInt64(out var count) ? count : null;
}
