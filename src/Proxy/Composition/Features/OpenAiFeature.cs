using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.OpenAiCompletions;

namespace Proxy.Composition.Features;

/// <summary>OpenAI's chat and completions, and the listing of models.</summary>
internal static class OpenAiFeature
{
    public static void Add(PartsBuilder parts)
    {
        var dialect = new OpenAiChatClientDialect();
        parts.Surfaces.Add(new(dialect, Has: static _ => true, OpenAiModelList.Write, OpenAiModelList.WriteOne));
        parts.Endpoints.AddRange(
        [
            parts.Chat(dialect, "/v1/chat/completions", "/chat/completions"),
            parts.Chat(new OpenAiCompletionsClientDialect(), "/v1/completions", "/completions"),
            new("GET", ["/v1/models", "/models"], parts.Models.ListAsync),
            new("GET", ["/v1/models/", "/models/"], parts.Models.OneAsync),
            new("*", ["/v1/realtime"], parts.Errors.NoWebSocketAsync),
        ]);
    }
}
