using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Dialects.Embeddings;

/// <summary>A model's error in the proxy's own words, for dialects that prescribe none.</summary>
internal static class VectorRefusals
{
    /// <summary>The code of the error for a call to a model of another kind.</summary>
    public const string WrongKind = "wrong_model_kind";

    /// <param name="field">The request's field that holds the inputs.</param>
    public static ProxyError Of(VectorError error, string field) => error.Kind switch
    {
        VectorErrorKind.TooLong => new(ProxyErrorKind.ContextLengthExceeded, error is { Input: { } input, Tokens: { } tokens, Limit: { } limit }
            ? $"{field}[{input}] has {tokens} tokens, and the model reads {limit} at most; shorten it" : error.Message) { Param = field },
        VectorErrorKind.InvalidInput => new(ProxyErrorKind.InvalidRequest, error.Message) { Param = field },
        VectorErrorKind.InvalidDimensions => new(ProxyErrorKind.InvalidRequest, error.Message) { Param = "dimensions" },
        VectorErrorKind.UnknownPrompt => new(ProxyErrorKind.InvalidRequest, error.Message) { Param = "prompt_name" },
        VectorErrorKind.WrongKind => new(ProxyErrorKind.InvalidRequest, error.Message) { Param = "model", Code = WrongKind },
        VectorErrorKind.Overloaded => new(ProxyErrorKind.QueueFull, error.Message) { RetryAfter = TimeSpan.FromSeconds(1) },
        _ => new(ProxyErrorKind.Internal, error.Message),
    };
}
