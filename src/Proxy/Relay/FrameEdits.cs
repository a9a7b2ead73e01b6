using System.Buffers;
using System.Text.Json;
using Proxy.Buffers;

namespace Proxy.Relay;

/// <summary>
/// The closed list of edits that a relayed answer's JSON may get. Today: the model's name, back to the one the client asked for.
/// Only the value at the top level is touched; every other byte stays as the host wrote it.
/// </summary>
internal sealed class FrameEdits(string askedModel)
{
    private readonly byte[] name = JsonSerializer.SerializeToUtf8Bytes(askedModel, NameJson.Default.String);

    /// <summary>Writes <paramref name="frame"/> with the edits made to the JSON in it. <paramref name="payload"/> must be a slice of <paramref name="frame"/>, or it is written unedited.</summary>
    public void Write(ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
    {
        if (frame.Overlaps(payload, out var offset) && FindModel(payload) is { } value)
        {
            output.Write(frame[..(offset + value.Start.Value)]);
            output.Write(name);
            output.Write(frame[(offset + value.End.Value)..]);
            return;
        }

        output.Write(frame);
    }

    /// <summary>Where the value of the top-level <c>model</c> stands, quotes included; null when there is none.</summary>
    public static Range? FindModel(ReadOnlySpan<byte> json)
    {
        if (json.IsEmpty || json[0] != '{') return null;
        try
        {
            var reader = new Utf8JsonReader(json);
            reader.Read();
            while (reader.Read() && reader.TokenType is JsonTokenType.PropertyName)
            {
                var isModel = reader.ValueTextEquals("model"u8);
                reader.Read();
                if (isModel && reader.TokenType is JsonTokenType.String) return (int)reader.TokenStartIndex..(int)reader.BytesConsumed;
                reader.Skip();
            }
        }
        catch (JsonException)
        {
            // Not JSON: the host's bytes are passed on as they are, and the client's parser is the judge of them.
        }

        return null;
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(string))]
internal sealed partial class NameJson : System.Text.Json.Serialization.JsonSerializerContext;
