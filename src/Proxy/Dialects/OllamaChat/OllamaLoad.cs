using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// A chat without messages, or a prompt without text, asks Ollama to load a model, or to unload it with <c>keep_alive: 0</c>. Hosts of other dialects cannot do
/// this (their model is loaded already, or loads with the first call), so the proxy answers itself.
/// </summary>
internal static class OllamaLoad
{
    public static bool IsAsked(ChatRequest request) => request is { Origin: DialectName.OllamaChat or DialectName.OllamaGenerate, Messages.Count: 0 };

    public static IReadOnlyList<ChatEvent> Answer(ChatRequest request) =>
    [
        new ChatEvent.RoleGiven(ChatRole.Assistant),
        new ChatEvent.Finished(FinishReason.Stop) { Opaque = WireJson.Opaque("done_reason"u8, Unloads(request.KeepAlive) ? "\"unload\""u8 : "\"load\""u8) },
    ];

    // Any spelling of zero: 0, "0", "0s", "0m" …
    private static bool Unloads(JsonElement? keepAlive) => keepAlive switch
    {
        { ValueKind: JsonValueKind.Number } number => number.TryGetDouble(out var seconds) && seconds == 0,
        { ValueKind: JsonValueKind.String } text =>
            double.TryParse(text.GetString().AsSpan().TrimEnd("hmsnuµ"), NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value == 0,
        _ => false,
    };
}
