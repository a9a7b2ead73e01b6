using System.Numerics;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// How large a context an Ollama host is to run a call with. Unsaid, Ollama uses its default and silently drops what does not fit; so a call that may not fit says what it needs.
/// </summary>
internal static class ContextWindow
{
    /// <summary>
    /// What Ollama runs a model with at least when nobody says otherwise: the host's own settings or its memory may make it more, so a call that fits this says nothing.
    /// A model's own file may say less, which its host tells.
    /// </summary>
    public const int HostDefault = 4096;

    private const int ReplyTokens = 1024;

    /// <summary>
    /// Tokens to ask for; null leaves it to the host. A host loads the model anew for every other size, so what it runs with is asked for again where that is enough,
    /// and otherwise the next power of two.
    /// </summary>
    /// <param name="running">What the model runs with now, where it is loaded, or would by its own file.</param>
    /// <param name="limit">What the model can take at most, where the host says.</param>
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
            return new(ProxyErrorKind.ContextLengthExceeded, $"the {what} at least {least} tokens long, and the model takes {largest}; shorten what you send or use a model with a larger context") { Param = param };
        }

        if (running is { } enough && most <= enough) tokens = enough;
        else if (running is not null || most > HostDefault) tokens = (int)Math.Min(BitOperations.RoundUpToPowerOf2((ulong)Math.Max(most, HostDefault)), (ulong)(limit ?? 1 << 20));
        return null;
    }
}
