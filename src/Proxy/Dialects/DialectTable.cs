using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>All dialects, each with the half that serves clients and the half that speaks to hosts.</summary>
internal static class DialectTable
{
    private static readonly (ClientDialect Client, BackendDialect Backend)[] Rows =
    [
        (new OpenAiChat.OpenAiChatClientDialect(), new OpenAiChat.OpenAiChatBackendDialect()),
        (new OpenAiCompletions.OpenAiCompletionsClientDialect(), new OpenAiCompletions.OpenAiCompletionsBackendDialect()),
        (new OpenAiResponses.OpenAiResponsesClientDialect(), new OpenAiResponses.OpenAiResponsesBackendDialect()),
        (new OllamaChat.OllamaChatClientDialect(), new OllamaChat.OllamaChatBackendDialect()),
        (new OllamaGenerate.OllamaGenerateClientDialect(), new OllamaGenerate.OllamaGenerateBackendDialect()),
        (new Anthropic.AnthropicClientDialect(), new Anthropic.AnthropicBackendDialect()),
    ];

    public static readonly IReadOnlyList<ClientDialect> Clients = [.. Rows.Select(static row => row.Client)];

    public static readonly IReadOnlyList<BackendDialect> Backends = [.. Rows.Select(static row => row.Backend)];

    // Indexed by the enum's value, because every call looks up its dialect.
    private static readonly BackendDialect?[] NumberedBackends =
        [.. Enum.GetValues<DialectName>().Select(name => Backends.FirstOrDefault(dialect => dialect.Name == name))];

    public static ClientDialect? Client(DialectName name) => Clients.FirstOrDefault(dialect => dialect.Name == name);

    public static BackendDialect? Backend(DialectName name) => NumberedBackends[(int)name];
}
