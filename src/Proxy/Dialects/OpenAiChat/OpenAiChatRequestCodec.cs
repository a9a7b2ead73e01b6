using System.Buffers;
using Proxy.Chat;

namespace Proxy.Dialects.OpenAiChat;

/// <summary>Requests of <c>/v1/chat/completions</c>, both ways.</summary>
internal static class OpenAiChatRequestCodec
{
    public static ProxyError? Read(ReadOnlyMemory<byte> body, out ChatRequest? request)
    {
        var draft = new OpenAiDraft();
        return RequestDocument.Read(body, draft.Fields, root => OpenAiChatRequestReader.Read(root, draft), out request);
    }

    /// <summary>A part that only another dialect knows cannot be shown to the model: an answer without it would be one to another question.</summary>
    public static ProxyError? Unsayable(ChatRequest request) => request.Origin is DialectName.OpenAiChat ? null : MessageLosses.FirstOther(request);

    public static void Write(ChatRequest request, string model, IBufferWriter<byte> output, List<string> lost) => OpenAiChatRequestWriter.Write(request, model, output, lost);
}
