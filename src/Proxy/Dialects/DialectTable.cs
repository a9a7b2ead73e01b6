using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OllamaGenerate;
using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.OpenAiCompletions;
using Proxy.Dialects.OpenAiResponses;

namespace Proxy.Dialects;

/// <summary>All dialects, by name. Some have only one half, because the other is not implemented or would make no sense.</summary>
internal static class DialectTable
{
    public static readonly IReadOnlyList<ClientDialect> Clients =
    [
        new OpenAiChatClientDialect(), new OpenAiCompletionsClientDialect(), new OpenAiResponsesClientDialect(),
        new OllamaChatClientDialect(), new OllamaGenerateClientDialect(), new AnthropicClientDialect(),
    ];

    public static readonly IReadOnlyList<BackendDialect> Backends =
    [
        new OpenAiChatBackendDialect(), new OpenAiCompletionsBackendDialect(), new OpenAiResponsesBackendDialect(),
        new OllamaChatBackendDialect(), new OllamaGenerateBackendDialect(), new AnthropicBackendDialect(),
    ];

    // Indexed by the enum's value, because every call looks up its dialect.
    private static readonly BackendDialect?[] NumberedBackends =
        [.. Enum.GetValues<DialectName>().Select(name => Backends.FirstOrDefault(dialect => dialect.Name == name))];

    public static ClientDialect? Client(DialectName name) => Clients.FirstOrDefault(dialect => dialect.Name == name);

    public static BackendDialect? Backend(DialectName name) => NumberedBackends[(int)name];

    /// <summary>The word for this dialect in a backend's <c>dialects</c> setting. Null for a dialect that no host speaks.</summary>
    public static string? Family(DialectName name) => name switch
    {
        DialectName.OpenAiChat or DialectName.OpenAiCompletions => "openai",
        DialectName.OpenAiResponses => "responses",
        DialectName.OllamaChat or DialectName.OllamaGenerate => "ollama",
        DialectName.Anthropic => "anthropic",
        _ => null,
    };
}
