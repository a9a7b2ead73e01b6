using System.Numerics;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// Chooses <c>num_ctx</c>, the context length with which an Ollama host runs a call. Without it Ollama uses its default and silently drops the part of the
/// prompt that does not fit. Therefore a call that may not fit states the context that it needs.
/// </summary>
internal static class ContextWindow
{
    /// <summary>
    /// The smallest default context of an Ollama host. The host's settings or memory may make it larger, so a call that fits into this needs no
    /// <c>num_ctx</c>. A model's Modelfile may set a smaller one, which its host reports.
    /// </summary>
    public const int HostDefault = 4096;

    private const int ReplyTokens = 1024;

    /// <summary>
    /// Chooses the context length in tokens; null leaves it to the host. A host reloads the model whenever the length changes, so the running length is
    /// chosen if it is enough, and otherwise the next power of two.
    /// </summary>
    /// <param name="running">The context of the loaded model, or the one that its Modelfile sets; null if unknown.</param>
    /// <param name="limit">The longest context that the model supports; null if the host does not report it.</param>
    public static ProxyError? Choose(ChatRequest request, int? configured, int? running, int? limit, out int? tokens)
    {
        tokens = request.Sampling.ContextLength ?? configured;
        if (tokens is not null) return null;

        var size = PromptSize.Of(request);
        var most = size.Most + (request.Sampling.MaxTokens is { } asked and >= 0 ? asked : ReplyTokens);
        var least = size.Least;
        if (limit is { } largest && least > largest)
        {
            var (what, param) = request.Prompt is null ? ("messages are", "messages") : ("prompt is", "prompt");
            return new(ProxyErrorKind.ContextLengthExceeded,
                $"the {what} at least {least} tokens long, and the model takes {largest}; shorten what you send or use a model with a larger context")
            {
                Param = param,
            };
        }

        if (running is { } enough && most <= enough) tokens = enough;
        else if (running is not null || most > HostDefault)
            tokens = (int)Math.Min(BitOperations.RoundUpToPowerOf2((ulong)Math.Max(most, HostDefault)), (ulong)(limit ?? 1 << 20));
        return null;
    }
}
