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
            var json = new Utf8JsonReader(frame, WireJson.Reading);
            json.Read();
            if (json.TokenType is not JsonTokenType.StartObject) throw new JsonException("an event must be a JSON object");
            var members = new Members();
            members.Read(ref json);
            if (members.Seq <= last) return;
            last = members.Seq ?? last;
            if (members.ToEvent() is { } happened)
            {
                finished |= happened is ChatEvent.Finished;
                events.Add(happened);
            }
            else
            {
                Skipped++;
            }
        }
        // Utf8JsonReader throws these for invalid JSON
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException)
        {
            finished = true;
            events.Add(new ChatEvent.Finished(FinishReason.Error,
                Error: new ProxyError(ProxyErrorKind.HostFailed, $"a published event is invalid: {problem.Message}")));
        }
    }

    public override bool End(List<ChatEvent> events, bool cleanly = true) => finished;

    /// <summary>The members of all event types. Which of them apply is decided once <c>type</c> is known.</summary>
    private struct Members
    {
        private string? type, id, model, role, text, kind, name, arguments, reason, winner, task;
        private long? created, seq;
        private IReadOnlyList<Source>? sources;
        private int index, choice;
        private int? input, output, cached, written, reasoning;
        private long? total, load, prompt, answer;
        private JsonElement? opaque;
        private ProxyError? error;

        public readonly long? Seq => seq;

        public void Read(ref Utf8JsonReader json)
        {
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("type"u8)) type = Text(ref json);
                else if (json.ValueTextEquals("text"u8)) text = Text(ref json);
                else if (json.ValueTextEquals("kind"u8)) kind = Text(ref json);
                else if (json.ValueTextEquals("choice"u8)) choice = (int)(Number(ref json) ?? 0);
                else if (json.ValueTextEquals("task"u8)) task = Text(ref json);
                else if (json.ValueTextEquals("seq"u8)) seq = Number(ref json);
                else if (json.ValueTextEquals("sources"u8)) sources = ReadSources(ref json);
                else if (json.ValueTextEquals("index"u8)) index = (int)(Number(ref json) ?? 0);
                else if (json.ValueTextEquals("id"u8)) id = Text(ref json);
                else if (json.ValueTextEquals("name"u8)) name = Text(ref json);
                else if (json.ValueTextEquals("arguments"u8)) arguments = TextOrJson(ref json);
                else if (json.ValueTextEquals("role"u8)) role = Text(ref json);
                else if (json.ValueTextEquals("model"u8)) model = Text(ref json);
                else if (json.ValueTextEquals("created"u8)) created = Number(ref json);
                else if (json.ValueTextEquals("reason"u8)) reason = Text(ref json);
                else if (json.ValueTextEquals("winner"u8)) winner = Text(ref json);
                else if (json.ValueTextEquals("error"u8)) error = Error(ref json);
                else if (json.ValueTextEquals("opaque"u8)) opaque = Element(ref json);
                else if (json.ValueTextEquals("usage"u8)) ReadUsage(ref json);
                else if (!TryReadCount(ref json)) json.Skip();
            }
        }

        public readonly ChatEvent? ToEvent()
        {
            ChatEvent? happened = type switch
            {
                "started" => new ChatEvent.Started(id, model, created),
                "role" => new ChatEvent.RoleGiven(EventSchemaJson.Role(role)),
                "token" => new ChatEvent.Token(text ?? "", EventSchemaJson.Kind(kind)),
                "tool_call" => new ChatEvent.ToolCall(index, id, name, arguments),
                "block_end" => new ChatEvent.BlockEnded(),
                "usage" => new ChatEvent.UsageReported(new Usage(input ?? 0, output ?? 0)
                {
                    CachedInputTokens = cached,
                    CacheWrittenTokens = written,
                    ReasoningTokens = reasoning,
                    TotalDuration = total,
                    LoadDuration = load,
                    PromptEvalDuration = prompt,
                    EvalDuration = answer,
                }),
                "sources" => new ChatEvent.SourcesFound(sources ?? []),
                "finished" => new ChatEvent.Finished(error is null ? EventSchemaJson.Reason(reason) : FinishReason.Error, winner, error),
                _ => null,
            };
            if (happened is null) return null;
            var speaker = happened is ChatEvent.Started ? null : model; // the model of a start event is that of the whole answer
            return happened with { Choice = choice, Opaque = opaque, Origin = (task ?? speaker) is null && seq is null ? null : new(task, speaker, seq) };
        }

        private bool TryReadCount(ref Utf8JsonReader json)
        {
            if (json.ValueTextEquals("input_tokens"u8)) input = (int?)Number(ref json);
            else if (json.ValueTextEquals("output_tokens"u8)) output = (int?)Number(ref json);
            else if (json.ValueTextEquals("cached_input_tokens"u8)) cached = (int?)Number(ref json);
            else if (json.ValueTextEquals("cache_written_tokens"u8)) written = (int?)Number(ref json);
            else if (json.ValueTextEquals("reasoning_tokens"u8)) reasoning = (int?)Number(ref json);
            else if (json.ValueTextEquals("total_duration"u8)) total = Number(ref json);
            else if (json.ValueTextEquals("load_duration"u8)) load = Number(ref json);
            else if (json.ValueTextEquals("prompt_eval_duration"u8)) prompt = Number(ref json);
            else if (json.ValueTextEquals("eval_duration"u8)) answer = Number(ref json);
            else return false;
            return true;
        }

        private void ReadUsage(ref Utf8JsonReader json)
        {
            json.Read();
            if (json.TokenType is not JsonTokenType.StartObject)
            {
                json.Skip();
                return;
            }

            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (!TryReadCount(ref json)) json.Skip();
            }
        }

        /// <summary>The sources that have an id, or a URI, which then serves as the id. Others are dropped.</summary>
        private static List<Source> ReadSources(ref Utf8JsonReader json)
        {
            var found = new List<Source>();
            if (Element(ref json) is not { ValueKind: JsonValueKind.Array } list) return found;
            foreach (var source in list.EnumerateArray())
            {
                if (source.ValueKind is JsonValueKind.Object && (Word(source, "id") ?? Word(source, "uri")) is { } id)
                    found.Add(new(id, Word(source, "title"), Word(source, "uri"),
                        source.TryGetProperty("score"u8, out var score) && score.ValueKind is JsonValueKind.Number ? score.GetDouble() : null));
            }

            return found;
        }

        private static string? Word(JsonElement value, string member) =>
            value.TryGetProperty(member, out var word) && word.ValueKind is JsonValueKind.String ? word.GetString() : null;

        private static ProxyError? Error(ref Utf8JsonReader json)
        {
            if (Element(ref json) is not { } value || value.ValueKind is JsonValueKind.Null) return null;
            if (value.ValueKind is JsonValueKind.String) return new ProxyError(ProxyErrorKind.HostFailed, value.GetString()!);
            if (value.ValueKind is not JsonValueKind.Object) return new ProxyError(ProxyErrorKind.HostFailed, value.GetRawText());

            var error = new ProxyError(EventSchemaJson.ErrorKind(Word(value, "kind")), Word(value, "message") ?? "the worker failed and gave no reason")
            {
                HostType = Word(value, "type"),
                Code = Word(value, "code"),
                Param = Word(value, "param"),
            };
            return value.TryGetProperty("status"u8, out var status) && status.ValueKind is JsonValueKind.Number && status.TryGetInt32(out var number)
                && number != error.Status ? error with { Status = number } : error;
        }

        private static JsonElement? Element(ref Utf8JsonReader json)
        {
            json.Read();
            return JsonElement.ParseValue(ref json);
        }

        private static string? Text(ref Utf8JsonReader json)
        {
            json.Read();
            if (json.TokenType is JsonTokenType.String) return json.GetString();
            json.Skip();
            return null;
        }

        private static string? TextOrJson(ref Utf8JsonReader json)
        {
            json.Read();
            if (json.TokenType is JsonTokenType.String) return json.GetString();
            if (json.TokenType is JsonTokenType.Null) return null;
            return JsonElement.ParseValue(ref json).GetRawText();
        }

        private static long? Number(ref Utf8JsonReader json)
        {
            json.Read();
            if (json.TokenType is JsonTokenType.Number && json.TryGetInt64(out var number)) return number;
            json.Skip();
            return null;
        }
    }
}
