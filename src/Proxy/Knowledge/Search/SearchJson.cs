using System.Text.Json;

namespace Proxy.Knowledge.Search;

/// <summary>Writes what a search found, for the command line.</summary>
internal static class SearchJson
{
    /// <summary>Writes the members of an object that the caller has begun.</summary>
    public static void Write(Utf8JsonWriter json, SearchOutcome outcome)
    {
        json.WriteStartArray("hits");
        foreach (var hit in outcome.Hits) WriteHit(json, hit);
        json.WriteEndArray();
        if (outcome.LexicalOnly is { } reason) json.WriteString("lexical_only", reason);
        if (outcome.Trace is { } trace) WriteTrace(json, trace);
    }

    private static void WriteHit(Utf8JsonWriter json, SearchHit hit)
    {
        var first = hit.Chunks[0];
        json.WriteStartObject();
        json.WriteString("workspace", hit.Workspace.Name);
        json.WriteString("file_id", hit.File.FileId);
        json.WriteString("file", hit.File.Name);
        if (hit.File.Path is { } path) json.WriteString("path", path);
        if (first.Heading.Length > 0) json.WriteString("heading", first.Heading);
        if (first.Page is { } page) json.WriteNumber("page", page);
        json.WriteNumber("start", first.Start);
        json.WriteNumber("end", hit.Chunks[^1].End);
        json.WriteNumber("score", Math.Round(hit.Score, 6));
        json.WritePropertyName("attributes");
        json.WriteRawValue(hit.File.Attributes);
        json.WriteString("text", hit.Text);
        json.WriteEndObject();
    }

    private static void WriteTrace(Utf8JsonWriter json, SearchTrace trace)
    {
        json.WriteStartObject("trace");
        json.WriteStartArray("stages");
        foreach (var stage in trace.Stages)
        {
            json.WriteStartObject();
            json.WriteString("stage", stage.Stage);
            json.WriteNumber("ms", Math.Round(stage.Milliseconds, 3));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("notes");
        foreach (var note in trace.Notes) json.WriteStringValue(note);
        json.WriteEndArray();
        json.WriteStartArray("candidates");
        foreach (var candidate in trace.Candidates)
        {
            json.WriteStartObject();
            json.WriteString("file_id", candidate.FileId);
            json.WriteString("file", candidate.FileName);
            json.WriteNumber("chunk", candidate.Chunk);
            Stage("lexical", candidate.LexicalRank, candidate.Lexical);
            Stage("dense", candidate.DenseRank, candidate.Cosine);
            Stage("first_pass", candidate.FirstPassRank, candidate.FirstPass);
            Stage("fused", candidate.FusedRank, candidate.Fused);
            Stage("rerank", candidate.RerankRank, candidate.Rerank);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();

        void Stage(string name, int? rank, double? score)
        {
            if (rank is null && score is null) return;
            json.WriteStartObject(name);
            if (rank is { } place) json.WriteNumber("rank", place);
            if (score is { } number) json.WriteNumber("score", Math.Round(number, 6));
            json.WriteEndObject();
        }
    }
}
