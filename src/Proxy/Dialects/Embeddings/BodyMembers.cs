using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Embeddings;

/// <summary>Takes the value at the reader's position, or returns false and leaves it.</summary>
internal delegate bool MemberTaker(ref Utf8JsonReader json, string name);

/// <summary>Iterates over the members of a body that is one object.</summary>
internal static class BodyMembers
{
    /// <summary>
    /// Offers every member to <paramref name="take"/>, and adds the names of those not taken, except <c>model</c>, to <paramref name="others"/>. Returns the
    /// error if the body is not valid JSON, otherwise null.
    /// </summary>
    public static ProxyError? Read(ReadOnlySpan<byte> body, List<string> others, MemberTaker take)
    {
        try
        {
            var json = WireJson.Open(LoneSurrogates.Replaced(body));
            if (json.TokenType is not JsonTokenType.StartObject) return new(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                var name = json.GetString()!;
                json.Read();
                if (take(ref json, name)) continue;
                if (name is not "model") others.Add(name); // EnvelopePeek has read it, and each host gets its own
                json.Skip();
            }

            return null;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // the reader throws these for invalid JSON and invalid Unicode
        {
            return new(ProxyErrorKind.InvalidRequest, $"the body is not valid JSON: {problem.Message}");
        }
    }

    /// <summary>Whether a body is an object that has the member. What else is wrong with it, its reader says.</summary>
    public static bool Has(ReadOnlySpan<byte> body, ReadOnlySpan<byte> member)
    {
        try
        {
            var json = new Utf8JsonReader(body);
            json.Read();
            while (json.TokenType is not JsonTokenType.None && json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals(member)) return true;
                json.Skip();
            }
        }
        catch (JsonException)
        {
            // Not JSON, and so no object.
        }

        return false;
    }
}
