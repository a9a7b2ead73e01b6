using System.Text.Json.Serialization;
using Proxy.Streams;

namespace Proxy.Store.Spooling;

/// <summary>
/// The rows of one commit as JSON. A reader skips members that it does not know and gives the default to those that lack, so the previous version's code reads
/// what the next one has written.
/// </summary>
internal sealed record SpoolRecord
{
    public IReadOnlyList<ExchangeRow>? Exchanges { get; init; }
    public IReadOnlyList<KeyRow>? Keys { get; init; }
    public IReadOnlyList<AnswerRow>? Answers { get; init; }
    public IReadOnlyList<CompletionRow>? Completions { get; init; }
    public IReadOnlyList<ArtifactRow>? Artifacts { get; init; }

    [JsonIgnore]
    public IEnumerable<StoreRow> Rows => [.. Exchanges ?? [], .. Keys ?? [], .. Answers ?? [], .. Completions ?? [], .. Artifacts ?? []];

    public static SpoolRecord Of(IReadOnlyList<StoreRow> rows) => new()
    {
        Exchanges = Kind<ExchangeRow>(rows),
        Keys = Kind<KeyRow>(rows),
        Answers = Kind<AnswerRow>(rows),
        Completions = Kind<CompletionRow>(rows),
        Artifacts = Kind<ArtifactRow>(rows),
    };

    private static List<T>? Kind<T>(IReadOnlyList<StoreRow> rows) where T : StoreRow => rows.OfType<T>().ToList() is { Count: > 0 } some ? some : null;
}

[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(SpoolRecord))]
internal sealed partial class SpoolJson : JsonSerializerContext;
