using System.Buffers;
using System.Text;
using Proxy.Chat;
using Proxy.Streams;

namespace Proxy.Tests.Streams;

public sealed class FrameEditsTests
{
    [Theory]
    [InlineData("data: {\"model\":\"x\",\"n\":1.50,\"e\":\"\\u00e9\\/\"}\n\n", "data: {\"model\":\"the \\\"one\\\"\",\"n\":1.50,\"e\":\"\\u00e9\\/\"}\n\n")]
    [InlineData("data:{\"z\":{\"model\":\"in\"},\"model\":\"x\"}\r\n\r\n", "data:{\"z\":{\"model\":\"in\"},\"model\":\"the \\\"one\\\"\"}\r\n\r\n")]
    [InlineData("event: e\nid: 1\ndata: { \"model\" : \"a\\\"b\" }\n\n", "event: e\nid: 1\ndata: { \"model\" : \"the \\\"one\\\"\" }\n\n")]
    [InlineData("data: [DONE]\n\n", "data: [DONE]\n\n")]
    [InlineData(": model\n\n", ": model\n\n")]
    [InlineData("data: {\"model\":null}\n\n", "data: {\"model\":null}\n\n")]
    [InlineData("data: {\"model\":\"cut\n\n", "data: {\"model\":\"cut\n\n")]
    [InlineData("data: {\"model\":\ndata: \"x\"}\n\n", "data: {\"model\":\ndata: \"x\"}\n\n")] // JSON over two lines is forwarded unchanged
    public void Frame_Only_the_models_name_is_another(string frame, string expected)
    {
        var output = new ArrayBufferWriter<byte>();
        using var cutter = FrameCutter.For(StreamFraming.ServerSentEvents);
        ReadOnlySpan<byte> pending = Encoding.UTF8.GetBytes(frame);
        Assert.True(cutter.TryTake(ref pending, out var whole, out var payload));

        new FrameEdits("the \"one\"").Write(whole, payload, output);

        Assert.Equal(expected, Encoding.UTF8.GetString(output.WrittenSpan));
    }
}
