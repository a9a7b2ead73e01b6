using System.Text.Json;

namespace Proxy.Chat;

/// <summary>The purpose of a model.</summary>
internal enum ModelKind { Chat, Embed, Rerank }

/// <summary>Facts that a host reports about a model besides its name and context. Those it does not report are null or empty.</summary>
internal sealed record ModelTraits
{
    public static readonly ModelTraits None = new();

    public ModelKind? Kind { get; init; }

    /// <summary>In Ollama's terms: completion, tools, vision, thinking, embedding, insert.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <summary>The model's architecture as its file names it: llama, qwen3 …</summary>
    public string? Architecture { get; init; }

    /// <summary>The file format: gguf, safetensors …</summary>
    public string? Format { get; init; }

    /// <summary>In Ollama's notation: 8.0B.</summary>
    public string? ParameterSize { get; init; }
    public string? Quantization { get; init; }
    public int? EmbeddingLength { get; init; }

    /// <summary>Size on the host's disk, in bytes.</summary>
    public long? Size { get; init; }

    /// <summary>The chat template, in the host's own template language.</summary>
    public string? Template { get; init; }

    /// <summary>Parameters that the model's file sets, in the line format of Ollama's <c>parameters</c>.</summary>
    public string? Parameters { get; init; }

    /// <summary>The host's own <c>model_info</c>, if it has one (Ollama).</summary>
    public JsonElement? Info { get; init; }

    /// <summary>The host's own entry in <c>/api/ps</c>, if it has one (Ollama) and the model is loaded.</summary>
    public JsonElement? Running { get; init; }
}
