using System.Text;

namespace Proxy.Chat;

/// <summary>
/// Bounds for the number of a prompt's tokens, without a tokenizer: at least <paramref name="Least"/>, and rarely more than <paramref name="Most"/>.
/// </summary>
internal readonly record struct PromptSize(long Least, long Most)
{
    private const int ImageTokens = 1024;

    public static PromptSize Of(ChatRequest request)
    {
        var characters = 0L;
        var bytes = 0L;
        var images = 0;
        foreach (var message in request.Messages)
        {
            Add(message.Reasoning);
            foreach (var made in message.ToolCalls)
            {
                Add(made.Name);
                Add(made.Arguments);
            }

            foreach (var part in message.Content)
            {
                if (part is ContentPart.Text text) Add(text.Value);
                else images++;
            }
        }

        Add(request.Prompt?.Suffix);
        foreach (var tool in request.Tools)
        {
            Add(tool.Name);
            Add(tool.Description);
            Add(tool.Parameters?.GetRawText());
        }

        // One token per three UTF-8 bytes over-estimates any text, including Chinese (three bytes and about one token per character). One token per eight
        // characters under-estimates any text that people write.
        return new(characters / 8, (bytes / 3) + ((long)images * ImageTokens));

        void Add(string? text)
        {
            if (text is null) return;
            characters += text.Length;
            bytes += Encoding.UTF8.GetByteCount(text);
        }
    }
}
