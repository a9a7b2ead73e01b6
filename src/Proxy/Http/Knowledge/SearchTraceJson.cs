using System.Text.Json;
using Proxy.Dialects;
using Proxy.Knowledge.Search;

namespace Proxy.Http.Knowledge;

/// <summary>The stages of a search as JSON: their times, and the ranks and scores of the candidates.</summary>
internal static class SearchTraceJson
{
    /// <param name="json">The writer.</param>
    /// <param name="name">The member's name.</param>
    /// <param name="trace">The stages.</param>
    /// <param name="lexicalOnly">Why no vector was used; null: they were, or there are none.</param>
    public static void Write(Utf8JsonWriter json, ReadOnlySpan<byte> name, SearchTrace trace, string? lexicalOnly)
    {
        json.WriteStartObject(name);
        json.WriteOptional("lexical_only"u8, lexicalOnly);
        json.WriteStartArray("stages"u8);
        foreach (var (stage, milliseconds) in trace.Stages)
        {
            json.WriteStartObject();
            json.WriteString("stage"u8, stage);
            json.WriteNumber("ms"u8, Math.Round(milliseconds, 3));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteList("notes"u8, trace.Notes);
        json.WriteStartArray("candidates"u8);
        foreach (var candidate in trace.Candidates) Write(json, candidate);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, TracedCandidate candidate)
    {
        json.WriteStartObject();
        json.WriteString("file_id"u8, candidate.FileId);
        json.WriteString("filename"u8, candidate.FileName);
        json.WriteNumber("chunk"u8, candidate.Chunk);
        Write(json, "lexical"u8, candidate.LexicalRank, candidate.Lexical);
        Write(json, "dense"u8, candidate.DenseRank, candidate.Cosine);
        Write(json, "first_pass"u8, candidate.FirstPassRank, candidate.FirstPass);
        Write(json, "fused"u8, candidate.FusedRank, candidate.Fused);
        Write(json, "rerank"u8, candidate.RerankRank, candidate.Rerank);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ReadOnlySpan<byte> stage, int? rank, double? score)
    {
        if (rank is null && score is null) return;
        json.WriteStartObject(stage);
        json.WriteOptional("rank"u8, rank);
        json.WriteOptional("score"u8, score is { } exact ? Math.Round(exact, 6) : null);
        json.WriteEndObject();
    }
}
