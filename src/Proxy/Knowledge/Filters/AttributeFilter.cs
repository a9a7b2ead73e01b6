using System.Text.Json;

namespace Proxy.Knowledge.Filters;

/// <summary>
/// A filter over the attributes of files, in OpenAI's form: <c>{"type":"eq|ne|gt|gte|lt|lte|in|nin","key","value"}</c>, or
/// <c>{"type":"and|or","filters":[…]}</c>.
/// </summary>
internal abstract record AttributeFilter
{
    private AttributeFilter()
    {
    }

    /// <summary>Reads a filter. Returns what is wrong with it, for the client, or null. The message names the member within the filter.</summary>
    public static string? Read(JsonElement written, out AttributeFilter? filter) => new FilterReader().Read(written, out filter);

    /// <summary>Whether a file with these attributes, a JSON object, passes. A file without the attribute passes only <c>ne</c> and <c>nin</c>.</summary>
    public abstract bool Matches(JsonElement attributes);

    /// <summary>Compares one attribute with one value. Values of different kinds are not equal, and none is less than the other.</summary>
    public sealed record Comparison(FilterOperator Operator, string Key, FilterValue Value) : AttributeFilter
    {
        public override bool Matches(JsonElement attributes)
        {
            var isNot = Operator is FilterOperator.NotEqual;
            if (FilterValue.Of(attributes, Key) is not { } found || found.Kind != Value.Kind) return isNot;
            var order = found.CompareTo(Value);
            return Operator switch
            {
                FilterOperator.Equal => order == 0,
                FilterOperator.NotEqual => order != 0,
                FilterOperator.Greater => order > 0,
                FilterOperator.GreaterOrEqual => order >= 0,
                FilterOperator.Less => order < 0,
                _ => order <= 0,
            };
        }
    }

    /// <summary>Whether the attribute is one of several values (<c>in</c>), or none of them (<c>nin</c>).</summary>
    public sealed record Membership(string Key, IReadOnlySet<FilterValue> Values, bool IsNegated) : AttributeFilter
    {
        public override bool Matches(JsonElement attributes) =>
            (FilterValue.Of(attributes, Key) is { } found && Values.Contains(found)) != IsNegated;
    }

    /// <summary>All of the filters must match, or one of them.</summary>
    public sealed record Compound(bool NeedsAll, IReadOnlyList<AttributeFilter> Filters) : AttributeFilter
    {
        public override bool Matches(JsonElement attributes)
        {
            foreach (var filter in Filters)
            {
                if (filter.Matches(attributes) != NeedsAll) return !NeedsAll;
            }

            return NeedsAll;
        }
    }
}

internal enum FilterOperator
{
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// <summary>A text, a number or a truth value. Numbers are compared as 64-bit floats, texts by their UTF-16 units.</summary>
/// <param name="Kind"><see cref="JsonValueKind.String"/>, <see cref="JsonValueKind.Number"/>, <see cref="JsonValueKind.True"/> for both truth values.</param>
/// <param name="Text">Empty unless it is a text.</param>
/// <param name="Number">The number; a truth value is 1 or 0.</param>
internal readonly record struct FilterValue(JsonValueKind Kind, string Text, double Number) : IComparable<FilterValue>
{
    /// <summary>Null: the JSON value is none of the three kinds, or a number that no 64-bit float has.</summary>
    public static FilterValue? Of(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => new(JsonValueKind.String, value.GetString()!, 0),
        JsonValueKind.Number when value.TryGetDouble(out var number) && double.IsFinite(number) => new(JsonValueKind.Number, "", number),
        JsonValueKind.True => new(JsonValueKind.True, "", 1),
        JsonValueKind.False => new(JsonValueKind.True, "", 0),
        _ => null,
    };

    /// <summary>The value of an attribute; null: the file does not have it.</summary>
    public static FilterValue? Of(JsonElement attributes, string key) =>
        attributes.ValueKind is JsonValueKind.Object && attributes.TryGetProperty(key, out var value) ? Of(value) : null;

    /// <summary>The order of two values of one kind.</summary>
    public int CompareTo(FilterValue other) =>
        Kind is JsonValueKind.String ? string.CompareOrdinal(Text, other.Text) : Number.CompareTo(other.Number);
}
