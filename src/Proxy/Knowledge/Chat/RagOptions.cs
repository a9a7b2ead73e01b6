using System.Globalization;
using System.Text.Json;
using Proxy.Chat;
using Proxy.Knowledge.Filters;
using Proxy.Knowledge.Search;

namespace Proxy.Knowledge.Chat;

/// <summary>How documents are searched for one chat: what its headers say, else what its tool says, else as usual.</summary>
internal sealed record RagOptions
{
    /// <summary>The passages of a call that does not say how many.</summary>
    public const int UsualMost = 8;

    /// <summary>
    /// The least score of a passage: a cosine of the bundled model, or a reranker's score. Passages that have nothing to do with a question are below it.
    /// </summary>
    public const double UsualThreshold = 0.25;

    private const int MostPassages = 50;

    public int Most { get; private init; } = UsualMost;
    public double Threshold { get; private init; } = UsualThreshold;
    public AttributeFilter? Filter { get; private init; }
    public bool? Rerank { get; private init; }
    public bool Trace { get; private init; }
    public double LexicalWeight { get; private init; } = new SearchRequest([]).LexicalWeight;
    public double DenseWeight { get; private init; } = new SearchRequest([]).DenseWeight;

    /// <summary>Reads the headers and the tool. Returns the error that names what is not valid.</summary>
    public static ProxyError? Read(RagWishes? said, FileSearch? tool, out RagOptions options)
    {
        options = new RagOptions();
        if (tool is not null && ReadTool(tool, ref options) is { } wrong) return wrong;
        return said is null ? null : ReadHeaders(said, ref options);
    }

    public SearchRequest Request(string query) => new([query])
    {
        Most = Most,
        Filter = Filter,
        Threshold = Threshold,
        Rerank = Rerank,
        LexicalWeight = LexicalWeight,
        DenseWeight = DenseWeight,
        Join = true,
        Trace = Trace,
    };

    private static ProxyError? ReadTool(FileSearch tool, ref RagOptions options)
    {
        if (tool.Problem is { } problem) return problem;
        options = options with
        {
            Most = tool.Most ?? options.Most,
            Threshold = tool.Threshold ?? options.Threshold,
            Rerank = tool.Rerank,
            LexicalWeight = tool.TextWeight ?? options.LexicalWeight,
            DenseWeight = tool.EmbeddingWeight ?? options.DenseWeight,
        };
        if (tool.Filters is not { } filters) return null;
        var place = $"{tool.Place}.filters";
        if (AttributeFilter.Read(filters, out var filter) is { } wrong) return Wrong(place, $"\"{place}\" is not valid: {wrong}");
        options = options with { Filter = filter };
        return null;
    }

    private static ProxyError? ReadHeaders(RagWishes said, ref RagOptions options)
    {
        if (said.Unknown is { } unknown)
            return Wrong(unknown, $"there is no header '{unknown}'; there are x-rag-top-k, x-rag-threshold, x-rag-filter, x-rag-rerank and x-rag-trace");
        if (said.TopK is { } top)
        {
            if (!int.TryParse(top, NumberStyles.None, CultureInfo.InvariantCulture, out var most) || most is < 1 or > MostPassages)
                return Wrong("x-rag-top-k", $"x-rag-top-k is '{ModelName.Shown(top)}'; it must be a number from 1 to {MostPassages}");
            options = options with { Most = most };
        }

        if (said.Threshold is { } threshold)
        {
            if (!double.TryParse(threshold, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var least) || least is not (>= 0 and <= 1))
                return Wrong("x-rag-threshold", $"x-rag-threshold is '{ModelName.Shown(threshold)}'; it must be a number from 0 to 1");
            options = options with { Threshold = least };
        }

        if (said.Filter is { } written)
        {
            if (ReadFilter(written, out var filter) is { } problem) return Wrong("x-rag-filter", $"x-rag-filter is not valid: {problem}");
            options = options with { Filter = filter };
        }

        if (said.Rerank is not (null or "on" or "off")) return Wrong("x-rag-rerank", $"x-rag-rerank is '{ModelName.Shown(said.Rerank)}'; it can be on or off");
        if (said.Trace is not (null or "1" or "true" or "0" or "false"))
            return Wrong("x-rag-trace", $"x-rag-trace is '{ModelName.Shown(said.Trace)}'; it can be 1 or 0");
        options = options with { Rerank = said.Rerank is { } rerank ? rerank is "on" : options.Rerank, Trace = said.Trace is "1" or "true" };
        return null;
    }

    private static string? ReadFilter(string written, out AttributeFilter? filter)
    {
        filter = null;
        try
        {
            return AttributeFilter.Read(JsonElement.Parse(written), out filter);
        }
        catch (JsonException)
        {
            return "it must be JSON, for example {\"type\":\"eq\",\"key\":\"team\",\"value\":\"ops\"}";
        }
    }

    private static ProxyError Wrong(string param, string message) => new(ProxyErrorKind.InvalidRequest, message) { Param = param };
}
