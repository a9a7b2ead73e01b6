using System.Globalization;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects.OllamaChat;

/// <summary>
/// A chat without messages, or a prompt without text, asks Ollama to load a model, or with <c>keep_alive: 0</c> to unload it. A host of another dialect has no such wish to grant:
/// its model is loaded or comes with the first call. So it is answered here.
/// </summary>
internal static class OllamaLoad
{
    public static bool IsAsked(ChatRequest request) => request is { Origin: DialectName.OllamaChat or DialectName.OllamaGenerate, Messages.Count: 0 };

    public static IReadOnlyList<ChatEvent> Answer(ChatRequest request) =>
    [
        new ChatEvent.RoleGiven(ChatRole.Assistant),
        new ChatEvent.Finished(FinishReason.Stop) { Opaque = WireJson.Opaque("done_reason"u8, Unloads(request.KeepAlive) ? "\"unload\""u8 : "\"load\""u8) },
    ];

    // 0, "0", "0s", "0m" …
    private static bool Unloads(JsonElement? keepAlive) => keepAlive switch
    {
        { ValueKind: JsonValueKind.Number } number => number.TryGetDouble(out var seconds) && seconds == 0,
        { ValueKind: JsonValueKind.String } text => double.TryParse(text.GetString().AsSpan().TrimEnd("hmsnuµ"), NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value == 0,
        _ => false,
    };
}
