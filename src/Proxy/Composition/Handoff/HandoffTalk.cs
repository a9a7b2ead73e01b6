using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Threading.Channels;

namespace Proxy.Composition.Handoff;

/// <summary>The talk between two processes of a handoff: lines of JSON over a pair of sockets. The end of one process is the end of the talk.</summary>
internal sealed partial class HandoffTalk : IDisposable
{
    private const int LongestLine = 4 << 20;

    private readonly Socket socket;
    private readonly Channel<byte[]> sending = Channel.CreateUnbounded<byte[]>(new() { SingleReader = true });
    private readonly Task sender;
    private byte[] buffer = new byte[4096];
    private int length;

    /// <param name="descriptor">One end of the pair.</param>
    /// <param name="unread">What another process had read from it already.</param>
    public HandoffTalk(int descriptor, ReadOnlySpan<byte> unread = default)
    {
        InheritedSockets.Keep(descriptor);
        socket = new(new SafeSocketHandle(descriptor, ownsHandle: true));
        if (unread.Length > buffer.Length) buffer = new byte[unread.Length * 2];
        unread.CopyTo(buffer);
        length = unread.Length;
        sender = SendAsync();
    }

    public int Descriptor => (int)socket.Handle;

    /// <summary>What has been read and is no whole line yet.</summary>
    public byte[] Unread => buffer[..length];

    /// <summary>Makes a pair. The other end is given to another process, and then closed here.</summary>
    public static unsafe (HandoffTalk Own, SafeSocketHandle Other) NewPair()
    {
        const int Unix = 1, Stream = 1, CloseOnExec = 0x80000;
        var ends = stackalloc int[2];
        if (SocketPair(Unix, Stream | CloseOnExec, 0, ends) != 0)
            throw new IOException($"no pair of sockets can be made: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        return (new HandoffTalk(ends[0]), new SafeSocketHandle(ends[1], ownsHandle: true));
    }

    /// <summary>Sends a message. Does not wait; after the end of the talk the message is dropped.</summary>
    public void Post(HandoffMessage message)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(message, HandoffJson.Default.HandoffMessage);
        sending.Writer.TryWrite([.. json, (byte)'\n']);
    }

    /// <summary>The next message; null at the end of the talk. A cancelled read loses nothing. One reader at a time.</summary>
    public async ValueTask<HandoffMessage?> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var end = Array.IndexOf(buffer, (byte)'\n', 0, length);
            if (end >= 0)
            {
                var message = Parse(buffer.AsSpan(0, end));
                buffer.AsSpan(end + 1, length - end - 1).CopyTo(buffer);
                length -= end + 1;
                if (message is not null) return message;
                continue;
            }

            if (length == buffer.Length && length >= LongestLine) return null;
            if (length == buffer.Length) Array.Resize(ref buffer, 2 * length);
            try
            {
                var count = await socket.ReceiveAsync(buffer.AsMemory(length), cancellation).ConfigureAwait(false);
                if (count == 0) return null;
                length += count;
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                return null;
            }
        }
    }

    /// <summary>Returns when everything that was posted has been sent, or the talk has ended. Nothing can be posted any more.</summary>
    public Task FlushAsync()
    {
        sending.Writer.TryComplete();
        return sender;
    }

    public void Dispose()
    {
        sending.Writer.TryComplete();
        socket.Dispose();
    }

    private static HandoffMessage? Parse(ReadOnlySpan<byte> line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, HandoffJson.Default.HandoffMessage);
        }
        catch (JsonException)
        {
            return null; // another version says something that this one does not understand
        }
    }

    private async Task SendAsync()
    {
        try
        {
            await foreach (var line in sending.Reader.ReadAllAsync().ConfigureAwait(false))
            {
                var left = line.AsMemory();
                while (!left.IsEmpty) left = left[await socket.SendAsync(left).ConfigureAwait(false)..];
            }
        }
        catch (Exception end) when (end is SocketException or ObjectDisposedException)
        {
            sending.Writer.TryComplete();
        }
    }

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    private static unsafe partial int SocketPair(int domain, int type, int protocol, int* ends);
}
