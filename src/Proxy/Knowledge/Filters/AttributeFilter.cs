using System.Text.Json;

namespace Proxy.Knowledge.Filters;

/// <summary>
/// A filter over the attributes of files, in OpenAI's form: <c>{"type":"eq|ne|gt|gte|lt|lte|in|nin","key","value"}</c>, or
/// <c>{"type":"and|or","filters":[…]}</c>.
/// </summary>
internal abstract record AttributeFilter
{
    /// <summary>Reads a filter. Returns what is wrong with it, for the client, or null.</summary>
    public static string? Read(JsonElement written, out AttributeFilter? filter)
    {
        filter = null;
        return "filters are not read yet";
    }

    /// <summary>Whether a file with these attributes, a JSON object, passes. A file without the attribute passes only <c>ne</c> and <c>nin</c>.</summary>
    public abstract bool Matches(JsonElement attributes);
}
