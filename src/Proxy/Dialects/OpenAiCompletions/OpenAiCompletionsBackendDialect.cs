using System.Buffers;
using Proxy.Chat;
using Proxy.Dialects.OpenAiChat;

namespace Proxy.Dialects.OpenAiCompletions;

/// <summary>A host that speaks <c>/v1/completions</c>. Its frames differ from chat's only in the member that holds the text.</summary>
internal sealed class OpenAiCompletionsBackendDialect : OpenAiChatBackendDialect
{
    public override DialectName Name => DialectName.OpenAiCompletions;
    public override string ChatPath => "/v1/completions";
    public override bool TakesPrompts => true;

    public override ProxyError? Unsayable(ChatRequest request) => OpenAiCompletionsRequestCodec.Unsayable(request);

    public override void WriteRequest(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OpenAiCompletionsRequestCodec.Write(request, model, output, lost);
}
