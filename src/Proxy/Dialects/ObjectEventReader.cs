using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Dialects;

/// <summary>Reads frames that are JSON objects. A frame is normally one object, but some hosts send two in one frame.</summary>
internal abstract class ObjectEventReader : EventReader
{
    /// <summary>True once the answer is complete or has failed. Frames after that are ignored.</summary>
    protected bool Over { get; set; }

    public override void Read(ReadOnlySpan<byte> frame, List<ChatEvent> events)
    {
        if (Over || frame.Trim(" \t\r\n"u8).IsEmpty) return;
        ReadOnlySpan<byte> rest = default;
        try
        {
            var json = WireJson.Open(frame);
            if (json.TokenType is JsonTokenType.StartObject) ReadObject(ref json, frame, events);
            else Fail(HostErrorBody.Read(frame), events);
            rest = frame[(int)json.BytesConsumed..];
        }
        // Utf8JsonReader throws these for invalid JSON
        catch (Exception problem) when (problem is JsonException or InvalidOperationException or FormatException)
        {
            Fail(new HostError($"the host sent something that is not JSON: {HostErrorBody.Read(frame).Message}"), events);
        }

        if (!rest.IsEmpty) Read(rest, events);
    }

    /// <summary>Reads the object that the reader has entered, up to its end or up to a failure.</summary>
    protected abstract void ReadObject(ref Utf8JsonReader json, ReadOnlySpan<byte> frame, List<ChatEvent> events);

    protected virtual void Fail(HostError said, List<ChatEvent> events)
    {
        Over = true;
        events.Add(new ChatEvent.Finished(FinishReason.Error,
            Error: new ProxyError(ProxyErrorKind.HostFailed, said.Message) { Code = said.Code, HostType = said.Type, Param = said.Param }));
    }
}
