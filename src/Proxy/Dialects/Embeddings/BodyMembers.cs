using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.Embeddings;

/// <summary>Takes the value at which the reader stands, or leaves it and says so.</summary>
internal delegate bool MemberTaker(ref Utf8JsonReader json, string name);

/// <summary>Goes through the members of a body that is one object.</summary>
internal static class BodyMembers
{
    /// <summary>What is wrong with the body as JSON; null when every member was offered. Those that nobody took are named in <paramref name="others"/>.</summary>
    public static ProxyError? Read(ReadOnlySpan<byte> body, List<string> others, MemberTaker take)
    {
        try
        {
            var json = new Utf8JsonReader(LoneSurrogates.Replaced(body), WireJson.Reading);
            json.Read();
            if (json.TokenType is not JsonTokenType.StartObject) return new(ProxyErrorKind.InvalidRequest, "the body must be a JSON object");
            while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
            {
                var name = json.GetString()!;
                json.Read();
                if (take(ref json, name)) continue;
                others.Add(name);
                json.Skip();
            }

            return null;
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException) // the reader's ways to say no: not JSON, not Unicode
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
