using Proxy.Chat;
using Proxy.Dialects.Anthropic;
using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OllamaGenerate;
using Proxy.Dialects.OpenAiChat;
using Proxy.Dialects.OpenAiCompletions;
using Proxy.Dialects.OpenAiResponses;

namespace Proxy.Dialects;

/// <summary>Every dialect that is spoken, by name. A half that is not there is not built, or makes no sense.</summary>
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

    // By the number of their names: every call asks.
    private static readonly BackendDialect?[] NumberedBackends = [.. Enum.GetValues<DialectName>().Select(name => Backends.FirstOrDefault(dialect => dialect.Name == name))];

    public static ClientDialect? Client(DialectName name) => Clients.FirstOrDefault(dialect => dialect.Name == name);

    public static BackendDialect? Backend(DialectName name) => NumberedBackends[(int)name];

    /// <summary>The word under which a backend's <c>dialects</c> list it; null for a dialect that no host speaks.</summary>
    public static string? Family(DialectName name) => name switch
    {
        DialectName.OpenAiChat or DialectName.OpenAiCompletions => "openai",
        DialectName.OpenAiResponses => "responses",
        DialectName.OllamaChat or DialectName.OllamaGenerate => "ollama",
        DialectName.Anthropic => "anthropic",
        _ => null,
    };
}
