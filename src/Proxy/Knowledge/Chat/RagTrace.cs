using System.Text;
using System.Text.Json;
using Proxy.Buffers;
using Proxy.Knowledge.Search;

namespace Proxy.Knowledge.Chat;

/// <summary>
/// The value of the response header <c>x-rag-trace</c>: JSON in ASCII with <c>query</c>, <c>stages</c> (times in milliseconds), <c>notes</c> and
/// <c>candidates</c> (ranks and scores by stage, best first). Candidates that would make it longer than <see cref="Longest"/> are left out.
/// </summary>
internal static class RagTrace
{
    public const int Longest = 4096;

    private const int LongestQuery = 200;

    public static string Of(string query, SearchTrace trace, string? lexicalOnly)
    {
        using var body = new PooledBody();
        using var json = new Utf8JsonWriter(body); // its own encoder leaves only ASCII
        json.WriteStartObject();
        json.WriteString("query"u8, query.Length > LongestQuery ? query[..LongestQuery] : query);
        json.WriteStartObject("stages"u8);
        foreach (var (stage, milliseconds) in trace.Stages.DistinctBy(static one => one.Stage)) json.WriteNumber(stage, Math.Round(milliseconds, 3));
        json.WriteEndObject();
        if (lexicalOnly is not null) json.WriteString("lexical_only"u8, lexicalOnly);
        json.WriteStartArray("notes"u8);
        foreach (var note in trace.Notes.Take(4)) json.WriteStringValue(note);
        json.WriteEndArray();
        json.WriteStartArray("candidates"u8);
        foreach (var candidate in trace.Candidates)
        {
            using var one = new PooledBody(256);
            Write(candidate, one);
            json.Flush();
            if (body.Length + one.Length > Longest - 16) break;
            json.WriteRawValue(one.Span, skipInputValidation: true);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return Encoding.ASCII.GetString(body.Span);
    }

    private static void Write(TracedCandidate candidate, PooledBody output)
    {
        using var json = new Utf8JsonWriter(output);
        json.WriteStartObject();
        json.WriteString("file_id"u8, candidate.FileId);
        json.WriteString("filename"u8, candidate.FileName);
        json.WriteNumber("chunk"u8, candidate.Chunk);
        Stage("lexical", candidate.LexicalRank, candidate.Lexical);
        Stage("dense", candidate.DenseRank, candidate.Cosine);
        Stage("first_pass", candidate.FirstPassRank, candidate.FirstPass);
        Stage("fused", candidate.FusedRank, candidate.Fused);
        Stage("rerank", candidate.RerankRank, candidate.Rerank);
        json.WriteEndObject();

        void Stage(string name, int? rank, double? score)
        {
            if (rank is null && score is null) return;
            json.WriteStartArray(name); // rank, score
            if (rank is { } place) json.WriteNumberValue(place);
            else json.WriteNullValue();
            if (score is { } value) json.WriteNumberValue(Math.Round(value, 4));
            else json.WriteNullValue();
            json.WriteEndArray();
        }
    }
}
