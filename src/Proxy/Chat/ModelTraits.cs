using System.Text.Json;

namespace Proxy.Chat;

/// <summary>What a model is for.</summary>
internal enum ModelKind { Chat, Embed, Rerank }

/// <summary>What a host tells of a model beside its name and its context. What it does not tell is null or empty.</summary>
internal sealed record ModelTraits
{
    public static readonly ModelTraits None = new();

    public ModelKind? Kind { get; init; }

    /// <summary>In Ollama's words: completion, tools, vision, thinking, embedding, insert.</summary>
    public IReadOnlyList<string> Capabilities { get; init; } = [];

    /// <summary>The family of models by the name that its file gives: llama, qwen3 …</summary>
    public string? Architecture { get; init; }

    /// <summary>How the file is made: gguf, safetensors …</summary>
    public string? Format { get; init; }

    /// <summary>As Ollama writes it: 8.0B.</summary>
    public string? ParameterSize { get; init; }
    public string? Quantization { get; init; }
    public int? EmbeddingLength { get; init; }

    /// <summary>Bytes on the host's disk.</summary>
    public long? Size { get; init; }

    /// <summary>The chat template, in the host's own language.</summary>
    public string? Template { get; init; }

    /// <summary>What the model's file sets, in the lines of Ollama's <c>parameters</c>.</summary>
    public string? Parameters { get; init; }

    /// <summary>The host's own <c>model_info</c>, where it has one (Ollama).</summary>
    public JsonElement? Info { get; init; }

    /// <summary>The host's own entry in <c>/api/ps</c>, where it has one (Ollama) and the model is loaded.</summary>
    public JsonElement? Running { get; init; }
}
