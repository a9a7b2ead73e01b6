using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OllamaChat;

namespace Proxy.Dialects.OllamaGenerate;

/// <summary>A host that speaks Ollama's own API, called with a prompt. Its lines differ from chat's only in the member that holds the text.</summary>
internal sealed class OllamaGenerateBackendDialect : OllamaChatBackendDialect
{
    public override DialectName Name => DialectName.OllamaGenerate;
    public override string ChatPath => "/api/generate";
    public override bool TakesPrompts => true;

    public override ProxyError? Unsayable(ChatRequest request) => OllamaGenerateRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OllamaGenerateRequestCodec.Write(request, model, output, lost);
}
