using System.Text.Json;

namespace Proxy.Backends;

/// <summary>The most that a host accepts in one call to embed or to rerank, by its <c>/info</c>; null if it does not report a limit.</summary>
/// <param name="Inputs">Inputs, or documents: TEI's <c>max_client_batch_size</c>.</param>
/// <param name="Tokens">Tokens of all inputs together: TEI's <c>max_batch_tokens</c>.</param>
internal readonly record struct HostLimits(int? Inputs, int? Tokens)
{
    /// <summary>The limits that hold at every backend which may get the call.</summary>
    public static HostLimits Of(Resolution resolution)
    {
        var least = default(HostLimits);
        foreach (var backend in resolution.Candidates)
        {
            if (backend.IsProxy) continue; // it splits calls itself
            // A host with one model serves it under every name.
            var model = backend.Learned(resolution.Served) ?? (backend.State.Report is { Kind: "tei", Models: [var only] } ? only : null);
            if (model?.Details is not { ValueKind: JsonValueKind.Object } info) continue;
            least = new(Least(least.Inputs, Count(info, "max_client_batch_size")), Least(least.Tokens, Count(info, "max_batch_tokens")));
        }

        return least;
    }

    /// <summary>Splits a list of <paramref name="count"/> items into parts that are as equal as possible and not above the limits.</summary>
    /// <param name="count">Number of items.</param>
    /// <param name="tokensOf">Tokens of an item; 0 if unknown.</param>
    public IReadOnlyList<Range> Cut(int count, Func<int, int> tokensOf)
    {
        var most = Inputs ?? count;
        if (count > most) most = (count + ((count + most - 1) / most) - 1) / ((count + most - 1) / most);
        var parts = new List<Range>();
        var (start, tokens) = (0, 0L);
        for (var i = 0; i < count; i++)
        {
            var more = tokensOf(i);
            if (i > start && (i - start == most || tokens + more > (Tokens ?? long.MaxValue)))
            {
                parts.Add(start..i);
                (start, tokens) = (i, 0);
            }

            tokens += more;
        }

        parts.Add(start..count);
        return parts;
    }

    private static int? Least(int? one, int? other) => one is null || other < one ? other ?? one : one;

    private static int? Count(JsonElement info, string name) =>
        info.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.Number && value.TryGetInt32(out var count) && count > 0 ? count : null;
}
