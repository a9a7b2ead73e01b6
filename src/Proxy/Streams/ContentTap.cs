using Proxy.Buffers;
using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Keeps the texts of one call for its record: the client's request, and the answer's frames as the host sent them.</summary>
internal sealed class ContentTap(byte[]? request) : IFrameTap
{
    /// <summary>A longer answer is not kept.</summary>
    private const int LongestAnswer = 32 << 20;

    private PooledBody? answer;
    private bool isTooLong;

    public byte[]? Request => request;

    public void Begin(BackendReply reply) { }

    public void See(long number, ReadOnlySpan<byte> frame, ReadOnlySpan<byte> payload)
    {
        if (isTooLong) return;
        answer ??= new PooledBody(4096);
        if (answer.Length + (long)frame.Length <= LongestAnswer)
        {
            answer.Write(frame);
            return;
        }

        isTooLong = true;
        Release();
    }

    /// <summary>All frames so far; null if there were none or too many. The tap keeps none of them.</summary>
    public byte[]? TakeAnswer()
    {
        var taken = answer?.Span.ToArray();
        Release();
        return taken;
    }

    private void Release()
    {
        answer?.Dispose();
        answer = null;
    }
}
