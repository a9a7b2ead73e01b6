using System.Text.Json;
using Proxy.Backends;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Http;

// A call with more inputs than its hosts take at once. Every answer is a list with one element an input.
internal sealed partial class TeiExchange
{
    /// <summary>False: there is nothing to cut.</summary>
    private async ValueTask<bool> InPartsAsync(VectorCall call)
    {
        // A similarity counts the text that the others are compared with.
        var limits = HostLimits.Of(call.Resolution) is { Inputs: { } most } told ? told with { Inputs = Surface is "/similarity" ? most - 1 : most, Tokens = null } : default;
        if (limits.Inputs is not (> 0 and var least) || call.Body.Span.Count((byte)',') < least || List(call.Body.Memory) is not { } inputs) return false;
        var places = limits.Cut(inputs.GetArrayLength(), static _ => 0);
        if (places.Count < 2) return false;

        await JoinListsAsync(call, [.. places.Select(place => new HostCall(call, static _ => null, Writer(place), Parts.Exchange.Log))]);
        return true;

        HostCall.Writer Writer(Range place)
        {
            return Write;

            ProxyError? Write(Backend candidate, string served, PooledBody body, List<string> lost, out string path)
            {
                path = Surface;
                if (!Speaks(candidate, "tei")) return OnlyTei(candidate);
                WritePart(call.Body.Memory, place, body);
                return null;
            }
        }
    }

    /// <summary>The list of a body, where its calls have one: the inputs, or the sentences that one is compared with.</summary>
    private JsonElement? List(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body, WireJson.ReadingWhole);
            if (document.RootElement.ValueKind is not JsonValueKind.Object || !document.RootElement.TryGetProperty("inputs"u8, out var inputs)) return null;
            if (Surface is "/similarity" && (inputs.ValueKind is not JsonValueKind.Object || !inputs.TryGetProperty("sentences"u8, out inputs))) return null;
            if (Surface is "/decode" || inputs.ValueKind is not JsonValueKind.Array) return null;
            // A list of texts is one input to a classifier, and a list of lists are many.
            return Surface is "/predict" && inputs.EnumerateArray().Any(static input => input.ValueKind is not JsonValueKind.Array) ? null : inputs.Clone();
        }
        catch (JsonException)
        {
            return null; // the host says so in its words
        }
    }

    private void WritePart(ReadOnlyMemory<byte> body, Range place, PooledBody output)
    {
        using var document = JsonDocument.Parse(body, WireJson.ReadingWhole);
        using var json = WireJson.NewWriter(output);
        json.WriteStartObject();
        foreach (var member in document.RootElement.EnumerateObject())
        {
            if (member.Name is not "inputs")
            {
                member.WriteTo(json);
                continue;
            }

            json.WritePropertyName("inputs"u8);
            if (Surface is not "/similarity")
            {
                WriteSlice(json, member.Value, place);
                continue;
            }

            json.WriteStartObject();
            foreach (var inner in member.Value.EnumerateObject())
            {
                json.WritePropertyName(inner.Name);
                if (inner.Name is "sentences") WriteSlice(json, inner.Value, place);
                else inner.Value.WriteTo(json);
            }

            json.WriteEndObject();
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
