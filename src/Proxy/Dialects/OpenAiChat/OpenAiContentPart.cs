using System.Text.Json;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>One part of an answer's content, or of its <c>reasoning_details</c>. A ref struct, because its reader points into the frame.</summary>
internal ref struct OpenAiContentPart
{
    private const int LongestType = 64;

    /// <summary>Positioned at the part's text, or at the list of a thought's parts. Not set if the part has neither.</summary>
    public Utf8JsonReader Text;

    public string? Type { get; private set; }

    /// <summary>True if the text is a thought.</summary>
    public bool Thinks { get; private set; }

    /// <summary>True for a kind of part that may have no text; then nothing is lost by skipping it.</summary>
    public readonly bool Silent => Type is "text" or "thinking" or "output_text" or "reasoning";

    /// <summary>Reads the object at the reader's position up to its end.</summary>
    public static OpenAiContentPart Read(ref Utf8JsonReader json)
    {
        var part = new OpenAiContentPart();
        while (json.Read() && json.TokenType is JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("type"u8))
            {
                var type = json.ReadText();
                part.Type = type?.Length > LongestType ? type[..LongestType] : type;
            }
            else if (json.ValueTextEquals("text"u8) || json.ValueTextEquals("summary"u8) || json.ValueTextEquals("thinking"u8)
                || json.ValueTextEquals("reasoning"u8))
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
