using Proxy.Chat;

namespace Proxy.Streams;

/// <summary>Collects all events and writes them as one document.</summary>
internal sealed class FoldingSink(BackendReply reply, Func<IReadOnlyList<ChatEvent>, ValueTask> write, Action<string> skip, EventReader? reader = null)
    : EventSink(reply, skip, reader)
{
    private readonly List<ChatEvent> events = [];

    public override bool KeepsAlive => false;

    public override ValueTask<bool> SendAsync(FrameBatch batch) => new(true);

    public override ValueTask<bool> KeepAliveAsync() => new(true);

    public override ValueTask EndAsync() => write(events);

    protected override void Write(ChatEvent happened) => events.Add(happened);
}
