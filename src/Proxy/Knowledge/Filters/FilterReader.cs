using System.Globalization;
using System.Text.Json;

namespace Proxy.Knowledge.Filters;

/// <summary>Reads one filter. Its depth, and the number of its comparisons and values, are limited, because every file of a workspace is compared.</summary>
internal sealed class FilterReader
{
    public const int DeepestNesting = 16, MostFilters = 256, MostValues = 1024;

    private int filters;
    private int values;

    /// <summary>Returns what is wrong with the filter, or null.</summary>
    public string? Read(JsonElement written, out AttributeFilter? filter)
    {
        try
        {
            filter = Read(written, "", 1);
            return null;
        }
        catch (FilterException wrong)
        {
            filter = null;
            return wrong.Message;
        }
        catch (InvalidOperationException) // of JsonElement: half of a surrogate pair
        {
            filter = null;
            return "a text of the filter is not valid Unicode";
        }
    }

    /// <param name="written">The filter.</param>
    /// <param name="at">Where it stands, for messages: empty, or for example <c>filters[2].</c></param>
    /// <param name="depth">1 for the outermost.</param>
    private AttributeFilter Read(JsonElement written, string at, int depth)
    {
        if (written.ValueKind is not JsonValueKind.Object) throw Wrong(at.TrimEnd('.'), "must be an object with \"type\", \"key\" and \"value\"");
        if (++filters > MostFilters) throw new FilterException($"the filter has more than {MostFilters} parts");
        if (depth > DeepestNesting) throw new FilterException($"the filter is nested more than {DeepestNesting} deep");
        var type = Text(written, "type", at);
        if (type is "and" or "or") return new AttributeFilter.Compound(type is "and", Parts(written, at, depth));
        if (type is "in" or "nin") return new AttributeFilter.Membership(Text(written, "key", at), Several(written, type, at), type is "nin");
        var comparison = Operator(type) ?? throw Wrong(at + "type", $"is '{Shown(type)}'; it can be eq, ne, gt, gte, lt, lte, in, nin, and, or");
        return new AttributeFilter.Comparison(comparison, Text(written, "key", at), One(written, comparison, at));
    }

    private List<AttributeFilter> Parts(JsonElement written, string at, int depth)
    {
        if (!written.TryGetProperty("filters", out var list)) throw Missing(at + "filters");
        if (list.ValueKind is not JsonValueKind.Array || list.GetArrayLength() == 0) throw Wrong(at + "filters", "must be an array of at least one filter");
        var parts = new List<AttributeFilter>();
        foreach (var part in list.EnumerateArray())
            parts.Add(Read(part, string.Create(CultureInfo.InvariantCulture, $"{at}filters[{parts.Count}]."), depth + 1));
        return parts;
    }

    private HashSet<FilterValue> Several(JsonElement written, string type, string at)
    {
        if (!written.TryGetProperty("value", out var list)) throw Missing(at + "value");
        if (list.ValueKind is not JsonValueKind.Array) throw Wrong(at + "value", $"must be an array of texts, numbers or truth values for \"{type}\"");
        var several = new HashSet<FilterValue>();
        foreach (var value in list.EnumerateArray())
        {
            if (++values > MostValues) throw new FilterException($"the filter has more than {MostValues} values");
            several.Add(FilterValue.Of(value) ?? throw Wrong(at + "value", "may hold only texts, numbers and truth values"));
        }

        return several;
    }

    private static FilterValue One(JsonElement written, FilterOperator comparison, string at)
    {
        if (!written.TryGetProperty("value", out var value)) throw Missing(at + "value");
        var one = FilterValue.Of(value) ?? throw Wrong(at + "value", "must be a text, a number, true or false; for one of several, the type is \"in\"");
        if (one.Kind is JsonValueKind.True && comparison is not (FilterOperator.Equal or FilterOperator.NotEqual))
            throw Wrong(at + "value", "must be a number or a text; truth values have no order");
        return one;
    }

    private static string Text(JsonElement written, string name, string at)
    {
        if (!written.TryGetProperty(name, out var value)) throw Missing(at + name);
        return value.ValueKind is JsonValueKind.String ? value.GetString()! : throw Wrong(at + name, "must be a text");
    }

    private static FilterOperator? Operator(string type) => type switch
    {
        "eq" => FilterOperator.Equal,
        "ne" => FilterOperator.NotEqual,
        "gt" => FilterOperator.Greater,
        "gte" => FilterOperator.GreaterOrEqual,
        "lt" => FilterOperator.Less,
        "lte" => FilterOperator.LessOrEqual,
        _ => null,
    };

    private static string Shown(string text) => text.Length <= 40 ? text : text[..40] + "…";

    private static FilterException Missing(string member) => new($"{member} is missing");

    private static FilterException Wrong(string member, string why) => new($"{(member.Length > 0 ? member : "the filter")} {why}");

    private sealed class FilterException(string message) : Exception(message);
}
