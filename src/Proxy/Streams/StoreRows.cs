namespace Proxy.Streams;

/// <summary>A row to be written to an <see cref="IRecordStore"/>.</summary>
internal abstract record StoreRow;

/// <summary>
/// One finished generation: a row of <c>exchanges</c>, which also counts in <c>usage_daily</c> when it is first inserted. A second row with the same trace id
/// changes nothing.
/// </summary>
internal sealed record ExchangeRow : StoreRow
{
    public required string TraceId { get; init; }
    public required string CorrelationId { get; init; }
    public string? Session { get; init; }
    public required string Owner { get; init; }

    /// <summary>The call's canonical digest; null where nothing needed it.</summary>
    public string? RequestId { get; init; }
    public required string Surface { get; init; }

    /// <summary>The model as the client named it.</summary>
    public required string Model { get; init; }
    public required string Route { get; init; }
    public string? Workspace { get; init; }
    public string? Pipeline { get; init; }

    /// <summary>The model that answered, by its name at the host or as a worker named it.</summary>
    public string? Winner { get; init; }
    public string? Backend { get; init; }

    /// <summary><c>ok</c>, <c>client_left</c>, <c>failed</c> or <c>incomplete</c>.</summary>
    public required string Status { get; init; }

    public int? InputTokens { get; init; }
    public int? OutputTokens { get; init; }
    public required DateTimeOffset Started { get; init; }

    /// <summary>Milliseconds from the start to the first token; null if there was none.</summary>
    public double? FirstTokenMs { get; init; }
    public required double DurationMs { get; init; }

    /// <summary>The client's request and the answer's frames, where texts are kept; else null.</summary>
    public byte[]? Request { get; init; }

    /// <inheritdoc cref="Request"/>
    public byte[]? Answer { get; init; }
}

/// <summary>A row of <c>idempotency_log</c>. Of two rows with one key, the one with the later <see cref="UpdatedAt"/> holds.</summary>
internal sealed record KeyRow : StoreRow
{
    public required string Owner { get; init; }
    public required string Key { get; init; }
    public required string TraceId { get; init; }

    /// <summary>The digest of what the call sent (path, query, body, routing headers). Another one under the same key is refused.</summary>
    public required string Digest { get; init; }

    /// <summary>The call's canonical digest, if it was computed.</summary>
    public string? RequestId { get; init; }

    /// <summary><c>done</c>: the answer with that trace id is kept in <see cref="AnswerRow"/>.</summary>
    public required string Status { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
}

/// <summary>An answer that can be replayed: a row of <c>answers</c>.</summary>
internal sealed record AnswerRow : StoreRow
{
    public required string TraceId { get; init; }
    public required string Owner { get; init; }

    /// <summary>The id that the host gave the answer; null if it gave none.</summary>
    public string? HostId { get; init; }

    /// <summary>How to read the frames, as JSON.</summary>
    public required byte[] Meta { get; init; }

    /// <summary>The host's frames, one after the other.</summary>
    public required byte[] Frames { get; init; }

    /// <summary>The client's request, if later calls refer to it (<c>previous_response_id</c>).</summary>
    public byte[]? Request { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
}

/// <summary>
/// A row of <c>completions_cache</c>. Texts are as the client of an OpenAI chat would get them; <see cref="Events"/> is what is replayed. Of two rows for one
/// digest, the one with the later <see cref="CreatedAt"/> holds.
/// </summary>
internal sealed record CompletionRow : StoreRow
{
    /// <summary>Empty: shared by all owners.</summary>
    public required string Owner { get; init; }

    /// <summary>The call's canonical digest.</summary>
    public required string RequestId { get; init; }
    public required string Model { get; init; }
    public string? Content { get; init; }

    /// <summary>A JSON array; null: none.</summary>
    public string? ToolCalls { get; init; }
    public string? Reasoning { get; init; }
    public string? FinishReason { get; init; }
    public string? Winner { get; init; }

    /// <summary>A JSON object; null: the host sent none.</summary>
    public string? Usage { get; init; }

    /// <summary>The answer's events, one JSON object a line, in the event schema.</summary>
    public required byte[] Events { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset ExpiresAt { get; init; }
}

/// <summary>
/// Something that a job produced besides its answer: a row of <c>artifacts</c>. Of two rows of one owner with the same trace id and key, the one with the later
/// <see cref="CreatedAt"/> holds.
/// </summary>
internal sealed record ArtifactRow : StoreRow
{
    public required string TraceId { get; init; }
    public required string Key { get; init; }
    public required string Owner { get; init; }
    public string? MediaType { get; init; }

    /// <summary>Where it is; null: it is <see cref="Value"/>.</summary>
    public string? Uri { get; init; }

    /// <summary>The artifact itself, as JSON; null: it is at <see cref="Uri"/>.</summary>
    public string? Value { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>Null: it is kept until its owner is forgotten.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }
}

/// <summary>
/// A row of <c>usage_daily</c>. The day is that of UTC on which the calls began; the model is <see cref="ExchangeRow.Model"/>. An unknown number of tokens
/// counts as 0.
/// </summary>
internal sealed record UsageRow(DateOnly Day, string Owner, string Model, long Requests, long InputTokens, long OutputTokens);
