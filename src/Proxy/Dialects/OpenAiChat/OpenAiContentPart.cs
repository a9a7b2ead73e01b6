using System.Text.Json;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>One part of an answer's content, or of its <c>reasoning_details</c>, while its place in the frame is known.</summary>
internal ref struct OpenAiContentPart
{
    private const int LongestType = 64;

    /// <summary>Stands at the part's text, or at the list of a thought's parts; not set where the part has neither.</summary>
    public Utf8JsonReader Text;

    public string? Type { get; private set; }

    /// <summary>The text is a thought.</summary>
    public bool Thinks { get; private set; }

    /// <summary>A kind of part whose text may be absent: nothing is lost with it.</summary>
    public readonly bool Silent => Type is "text" or "thinking" or "output_text" or "reasoning";

    /// <summary>Reads the object at whose beginning the reader stands, to its end.</summary>
    public static OpenAiContentPart Read(ref Utf8JsonReader json)
    {
        var part = new OpenAiContentPart();
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8))
            {
                var type = OpenAiChatJson.ReadText(ref json);
                part.Type = type?.Length > LongestType ? type[..LongestType] : type;
            }
            else if (json.ValueTextEquals("text"u8) || json.ValueTextEquals("summary"u8) || json.ValueTextEquals("thinking"u8) || json.ValueTextEquals("reasoning"u8))
            {
                var thinks = !json.ValueTextEquals("text"u8);
                json.Read();
                if (json.TokenType is JsonTokenType.String || (thinks && json.TokenType is JsonTokenType.StartArray))
                {
                    part.Text = json;
                    part.Thinks = thinks;
                }

                json.Skip();
            }
            else
            {
                json.Skip();
            }
        }

        return part;
    }
}
