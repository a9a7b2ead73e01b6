using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Reads and writes requests of <c>/v1/chat/completions</c>.</summary>
internal static class OpenAiChatRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request) =>
        RequestDocument.Read(body, OpenAiChatRequestReader.Read, out request);

    /// <summary>Refuses a part that only another dialect has. Without it the model would answer a different question.</summary>
    public static ProxyError? Unsayable(ChatRequest request) => request.Origin is DialectName.OpenAiChat ? null : MessageLosses.FirstOther(request);

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) =>
        OpenAiChatRequestWriter.Write(request, model, output, lost);
}
