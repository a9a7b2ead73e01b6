using System.Text.Json;

namespace Proxy.Backends;

/// <summary>How much a host takes in one call to embed or to rerank, as its <c>/info</c> says; null where it does not say.</summary>
/// <param name="Inputs">Inputs, or documents: TEI's <c>max_client_batch_size</c>.</param>
/// <param name="Tokens">Tokens of all together: TEI's <c>max_batch_tokens</c>.</param>
internal readonly record struct HostLimits(int? Inputs, int? Tokens)
{
    /// <summary>What all of the backends take that may be given the call.</summary>
    public static HostLimits Of(Resolution resolution)
    {
        var least = default(HostLimits);
        foreach (var backend in resolution.Candidates)
        {
            if (backend.IsProxy) continue; // it cuts by itself
            // A host of one model serves it by whatever name it is asked for.
            var model = backend.Learned(resolution.Served) ?? (backend.State.Report is { Kind: "tei", Models: [var only] } ? only : null);
            if (model?.Details is not { ValueKind: JsonValueKind.Object } info) continue;
            least = new(Least(least.Inputs, Count(info, "max_client_batch_size")), Least(least.Tokens, Count(info, "max_batch_tokens")));
        }

        return least;
    }

    /// <summary>Where to cut a list of so many, the first and the last place included: parts that are as even as can be, and none above the limits.</summary>
    /// <param name="tokensOf">Tokens of one of the list; 0 where that is not known.</param>
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
