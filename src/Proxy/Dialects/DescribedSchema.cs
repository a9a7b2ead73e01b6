using System.Text.Json;

namespace Proxy.Dialects;

/// <summary>A JSON schema with a name and a description: the part that tools and output formats have in common in several dialects.</summary>
internal readonly record struct DescribedSchema(string? Name, string? Description, JsonElement? Schema, bool? Strict)
{
    /// <summary>Reads an object in which the schema is the member <paramref name="schema"/>.</summary>
    /// <param name="value"></param>
    /// <param name="schema"></param>
    /// <param name="whole">False if the object has members that the result does not hold.</param>
    public static DescribedSchema Read(JsonElement value, string schema, out bool whole)
    {
        var read = new DescribedSchema();
        whole = true;
        foreach (var member in value.EnumerateObject())
        {
            DescribedSchema? with = member.Name switch
            {
                "name" when member.Value.ValueKind is JsonValueKind.String => read with { Name = member.Value.GetString() },
                "description" when member.Value.ValueKind is JsonValueKind.String => read with { Description = member.Value.GetString() },
                "strict" when member.Value.ValueKind is JsonValueKind.True or JsonValueKind.False => read with { Strict = member.Value.GetBoolean() },
                var name when name == schema => read with { Schema = member.Value.Clone() },
                _ => null,
            };
            whole &= with is not null;
            read = with ?? read;
        }

        return read;
    }
}
