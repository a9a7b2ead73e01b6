using System.Text.Json;
using Proxy.Chat;
using Proxy.Dialects;
using Proxy.Dialects.Events;

namespace Proxy.Workflows;

/// <summary>One event as a job published it.</summary>
/// <param name="Seq">Its number within the attempt; null: the job does not number its events.</param>
/// <param name="Attempt">The attempt that it comes from; null: the job does not say.</param>
/// <param name="Happened">What it means for the answer; null: it is an artifact, or unknown.</param>
/// <param name="Artifact">What the job produced besides; null: nothing.</param>
internal sealed record JobEvent(long? Seq, long? Attempt, ChatEvent? Happened, Artifact? Artifact)
{
    /// <summary>The call of a tool came without an index, so it is a call of its own.</summary>
    public bool IsWholeCall { get; private init; }

    /// <summary>
    /// Reads one event. With <paramref name="isUnknown"/> it is of a type that this version does not know, or an artifact without a key: only its number
    /// counts.
    /// </summary>
    /// <exception cref="JsonException">The line is not a JSON object, or a member has the wrong form.</exception>
    public static JobEvent Read(string traceId, ReadOnlySpan<byte> line, out bool isUnknown)
    {
        isUnknown = false;
        try
        {
            var said = WireJson.Parse(line);
            if (said.ValueKind is not JsonValueKind.Object) throw new JsonException("an event is a JSON object");
            var (seq, attempt) = (EventSchemaReader.Number(said, "seq"u8), EventSchemaReader.Number(said, "attempt"u8));
            if (EventSchemaReader.Text(said, "type"u8) is "artifact")
            {
                isUnknown = EventSchemaReader.Text(said, "key"u8) is not { Length: > 0 };
                return new(seq, attempt, null, isUnknown ? null : ReadArtifact(traceId, said));
            }

            var happened = EventSchemaReader.Read(said);
            isUnknown = happened is null;
            return new(seq, attempt, happened, null) { IsWholeCall = happened is ChatEvent.ToolCall && !said.TryGetProperty("index"u8, out _) };
        }
        catch (Exception problem) when (problem is InvalidOperationException or FormatException) // the parser's, for a member of the wrong form
        {
            throw new JsonException(problem.Message, problem);
        }
    }

    private static Artifact ReadArtifact(string traceId, JsonElement said) => new(
        traceId, EventSchemaReader.Text(said, "key"u8)!, EventSchemaReader.Text(said, "media_type"u8), EventSchemaReader.Text(said, "uri"u8),
        said.TryGetProperty("value"u8, out var value) ? value.GetRawText() : null);
}
