using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.VectorRoutes;

/// <summary>
/// A call that only a TEI host answers. Sends the client's bytes, or some elements of its list (<see cref="Place"/>), which the host answers with a list of as
/// many elements.
/// </summary>
internal sealed class TeiHostCall(VectorHosts hosts, VectorCall call) : HostCall<byte[]>(hosts, call)
{
    /// <summary>Which elements of the list are sent; null: the client's bytes.</summary>
    public Range? Place { get; init; }

    /// <summary>The text between the brackets of a JSON list; null if the answer is not a list or is empty.</summary>
    public override byte[]? Read(ReadOnlySpan<byte> answer) =>
        answer.Trim(" \t\r\n"u8) is [(byte)'[', .. var inside, (byte)']'] && !inside.Trim(" \t\r\n"u8).IsEmpty ? inside.ToArray() : null;

    protected override string? PathAt(Backend backend) => Place is null && backend.FamilyNames.Contains("tei") ? Call.Path + Call.Query : null;

    protected override ProxyError? Write(Backend backend, string served, PooledBody body, List<string> lost, out string path)
    {
        path = Call.Path;
        if (!backend.FamilyNames.Contains("tei"))
        {
            return CannotAsk(backend, path is "/embed_all"
                ? $"backend '{backend.Name}' does not return one vector per token"
                : $"only a TEI host answers {path}, and backend '{backend.Name}' is not one");
        }

        WritePart(Place!.Value, body);
        return null;
    }

    private void WritePart(Range place, PooledBody output)
    {
        using var document = JsonDocument.Parse(Call.Body, WireJson.ReadingWhole);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        foreach (var member in document.RootElement.EnumerateObject())
        {
            json.WritePropertyName(member.Name);
            if (member.Name is not "inputs") member.Value.WriteTo(json);
            else if (Call.Path is not "/similarity") WriteSlice(json, member.Value, place);
            else
            {
                json.WriteStartObject();
                foreach (var inner in member.Value.EnumerateObject())
                {
                    json.WritePropertyName(inner.Name);
                    if (inner.Name is "sentences") WriteSlice(json, inner.Value, place);
                    else inner.Value.WriteTo(json);
                }

                json.WriteEndObject();
            }
        }

        json.WriteEndObject();
    }

    private static void WriteSlice(Utf8JsonWriter json, JsonElement list, Range place)
    {
        json.WriteStartArray();
        foreach (var element in list.EnumerateArray().Take(place)) element.WriteTo(json);
        json.WriteEndArray();
    }
}
