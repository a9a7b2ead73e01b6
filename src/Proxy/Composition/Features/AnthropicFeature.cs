using Proxy.Dialects.Anthropic;

namespace Proxy.Composition.Features;

/// <summary>Anthropic's Messages. Its clients list models at the same path as OpenAI's, but send their API's version.</summary>
internal static class AnthropicFeature
{
    public static void Add(PartsBuilder parts)
    {
        var dialect = new AnthropicClientDialect();
        parts.Surfaces.Add(new(
            dialect,
            Has: static request => request.Path.StartsWithSegments("/v1/messages") || request.Path.StartsWithSegments("/messages")
                || request.Headers.ContainsKey("anthropic-version"),
            static (models, output, _) => AnthropicModelList.Write(models, output),
            AnthropicModelList.WriteOne));
        parts.Endpoints.AddRange(
        [
            parts.Chat(dialect, "/v1/messages", "/messages"),
            parts.Count(new AnthropicClientDialect(counts: true), AnthropicCount.Write, "/v1/messages/count_tokens"),
            new("*", ["/v1/messages/"], parts.Errors.UnknownPathAsync), // batches: no local host has them
        ]);
    }
}
