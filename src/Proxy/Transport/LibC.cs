using System.Runtime.InteropServices;
using System.Runtime.InteropServices.Marshalling;

namespace Proxy.Transport;

/// <summary>What the loops need of Linux. Every descriptor made here is non-blocking and closed on exec.</summary>
internal static unsafe partial class LibC
{
    public const uint Readable = 0x1;
    public const uint Writable = 0x4;
    public const uint Error = 0x8;
    public const uint HungUp = 0x10;
    public const uint PeerClosed = 0x2000;
    public const uint Exclusive = 1u << 28;
    public const uint EdgeTriggered = 1u << 31;

    /// <summary>Results of <see cref="Receive"/> and <see cref="Send"/> that are not a count of bytes.</summary>
    public const int WouldBlock = -1;
    public const int Failed = -2;

    /// <summary>What the kernel says of a connection whose other end does not answer.</summary>
    public const int TimedOut = 110;

    private const int OpenFiles = 7;
    private const int Interrupted = 4;
    private const int TryAgain = 11;
    private const int InProgress = 115;

    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int SocketLevel = 1;
    private const int TcpLevel = 6;
    private const int TcpNoDelay = 1;
    private const int PendingError = 4;
    private const int DontWait = 0x40;
    private const int NoSignal = 0x4000;

    public const int InterNetwork = 2;
    public const int InterNetworkV6 = 10;

    // The kernel packs its epoll_event on x86-64 only.
    private static readonly int EventBytes = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;
    private static readonly int EventData = EventBytes - 8;

    [StructLayout(LayoutKind.Sequential)]
    public struct Piece
    {
        public byte* Start;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Message
    {
        public void* Name;
        public uint NameLength;
        public Piece* Pieces;
        public nuint PieceCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    public static int LastError => Marshal.GetLastPInvokeError();

    /// <summary>Of <see cref="Accept"/>: nothing is wrong with the connection, there is no room for it. Trying at once would be trying for ever.</summary>
    public static bool IsExhausted(int error) => error is 12 or 23 or 24 or 105; // ENOMEM, ENFILE, EMFILE, ENOBUFS

    public static string Words(int error) => Marshal.GetPInvokeErrorMessage(error);

    /// <summary>An epoll set. Throws when the process may open no more descriptors.</summary>
    public static int NewEpoll() => Checked(epoll_create1(CloseOnExec));

    /// <summary>A descriptor that is readable once it was written to.</summary>
    /// <summary>How many descriptors the process may have open (RLIMIT_NOFILE).</summary>
    public static long DescriptorLimit()
    {
        Span<ulong> limits = stackalloc ulong[2];
        fixed (ulong* both = limits) return getrlimit(OpenFiles, both) == 0 && limits[0] <= int.MaxValue ? (long)limits[0] : int.MaxValue;
    }

    /// <summary>The number that the next descriptor will get; negative when there is none.</summary>
    public static int LowestFreeDescriptor()
    {
        var probe = eventfd(0, CloseOnExec);
        if (probe >= 0) Close(probe);
        return probe;
    }

    public static int NewEvent() => Checked(eventfd(0, CloseOnExec | NonBlocking));

    /// <summary>False when the descriptor cannot be watched.</summary>
    public static bool Watch(int epoll, int descriptor, uint events, ulong data)
    {
        var entry = stackalloc byte[16];
        *(uint*)entry = events;
        *(ulong*)(entry + EventData) = data;
        return epoll_ctl(epoll, 1, descriptor, entry) == 0;
    }

    public static void Unwatch(int epoll, int descriptor)
    {
        var entry = stackalloc byte[16];
        _ = epoll_ctl(epoll, 2, descriptor, entry);
    }

    /// <summary>Room for this many events of <see cref="Wait"/>; never freed.</summary>
    public static byte* NewEvents(int count) => (byte*)NativeMemory.AllocZeroed((nuint)(count * EventBytes));

    /// <summary>How many events came within as many milliseconds; -1 waits for ever.</summary>
    public static int Wait(int epoll, byte* events, int count, int milliseconds)
    {
        var came = epoll_wait(epoll, events, count, milliseconds);
        return came >= 0 || LastError == Interrupted ? Math.Max(came, 0) : throw new InvalidOperationException($"epoll_wait: {Words(LastError)}");
    }

    public static (uint Events, ulong Data) Event(byte* events, int index)
    {
        var entry = events + index * EventBytes;
        return (*(uint*)entry, *(ulong*)(entry + EventData));
    }

    public static void Signal(int @event)
    {
        ulong one = 1;
        _ = write(@event, &one, 8);
    }

    public static void Unsignal(int @event)
    {
        ulong count;
        _ = read(@event, &count, 8);
    }

    /// <summary>A TCP socket that sends at once; -1 when there is none to be had.</summary>
    public static int NewTcp(int family)
    {
        var descriptor = socket(family, 1 | NonBlocking | CloseOnExec, 0);
        if (descriptor >= 0) SendAtOnce(descriptor);
        return descriptor;
    }

    public static void SendAtOnce(int descriptor) => Set(descriptor, TcpLevel, TcpNoDelay, 1); // fails on a unix socket, which does so anyway

    /// <summary>Has the kernel watch a connection, see <see cref="TcpWatch"/>.</summary>
    public static void BeginWatch(int descriptor)
    {
        Set(descriptor, TcpWatch.SocketLevel, TcpWatch.KeepAlive, 1);
        Set(descriptor, TcpWatch.TcpLevel, TcpWatch.KeepIdle, TcpWatch.IdleSeconds);
        Set(descriptor, TcpWatch.TcpLevel, TcpWatch.KeepInterval, TcpWatch.IntervalSeconds);
        Set(descriptor, TcpWatch.TcpLevel, TcpWatch.KeepCount, TcpWatch.Probes);
        Set(descriptor, TcpWatch.TcpLevel, TcpWatch.UserTimeout, TcpWatch.UnacknowledgedMilliseconds);
    }

    /// <summary>0 connected, <see cref="WouldBlock"/> under way, else <see cref="Failed"/>.</summary>
    public static int Connect(int descriptor, ReadOnlySpan<byte> address)
    {
        fixed (byte* start = address)
        {
            if (connect(descriptor, start, (uint)address.Length) == 0) return 0;
        }

        return LastError == InProgress ? WouldBlock : Failed;
    }

    /// <summary>What became of a connect that was under way: 0, or the error.</summary>
    public static int TakeError(int descriptor)
    {
        var error = 0;
        uint length = sizeof(int);
        return getsockopt(descriptor, SocketLevel, PendingError, &error, &length) == 0 ? error : LastError;
    }

    /// <summary>The next connection and who it is; negative when there is none, see <see cref="LastError"/>.</summary>
    public static int Accept(int listener, Span<byte> address, out int length)
    {
        fixed (byte* start = address)
        {
            var bytes = (uint)address.Length;
            var descriptor = accept4(listener, start, &bytes, CloseOnExec | NonBlocking);
            length = (int)Math.Min(bytes, (uint)address.Length);
            return descriptor;
        }
    }

    /// <summary>The address that a connection came to; 0 bytes when it cannot be told.</summary>
    public static int LocalAddress(int descriptor, Span<byte> address)
    {
        fixed (byte* start = address)
        {
            var bytes = (uint)address.Length;
            return getsockname(descriptor, start, &bytes) == 0 ? (int)Math.Min(bytes, (uint)address.Length) : 0;
        }
    }

    /// <summary>Bytes; 0 at the end; <see cref="WouldBlock"/>; or <see cref="Failed"/>, see <see cref="LastError"/>.</summary>
    public static int Receive(int descriptor, Span<byte> target)
    {
        fixed (byte* start = target)
        {
            while (true)
            {
                var count = recv(descriptor, start, (nuint)target.Length, DontWait);
                if (count >= 0) return (int)count;
                var error = LastError;
                if (error == Interrupted) continue;
                return error == TryAgain ? WouldBlock : Failed;
            }
        }
    }

    /// <summary>As <see cref="Receive"/>, without an end.</summary>
    public static int Send(int descriptor, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            while (true)
            {
                var count = send(descriptor, start, (nuint)bytes.Length, DontWait | NoSignal);
                if (count >= 0) return (int)count;
                var error = LastError;
                if (error == Interrupted) continue;
                return error == TryAgain ? WouldBlock : Failed;
            }
        }
    }

    /// <summary>Up to four pieces in one call; of how many bytes the kernel took, counted through all of them.</summary>
    public static int Send(int descriptor, ReadOnlySpan<byte> first, ReadOnlySpan<byte> second, ReadOnlySpan<byte> third, ReadOnlySpan<byte> fourth = default)
    {
        fixed (byte* a = first, b = second, c = third, d = fourth)
        {
            var pieces = stackalloc Piece[4];
            var count = 0;
            Add(pieces, ref count, a, first.Length);
            Add(pieces, ref count, b, second.Length);
            Add(pieces, ref count, c, third.Length);
            Add(pieces, ref count, d, fourth.Length);
            var message = new Message { Pieces = pieces, PieceCount = (nuint)count };
            while (true)
            {
                var sent = sendmsg(descriptor, &message, DontWait | NoSignal);
                if (sent >= 0) return (int)sent;
                var error = LastError;
                if (error == Interrupted) continue;
                return error == TryAgain ? WouldBlock : Failed;
            }
        }

        static void Add(Piece* pieces, ref int count, byte* start, int length)
        {
            if (length > 0) pieces[count++] = new() { Start = start, Length = (nuint)length };
        }
    }

    /// <summary>No more in either direction; the descriptor stays taken.</summary>
    public static void Shutdown(int descriptor) => _ = shutdown(descriptor, 2);

    public static void Close(int descriptor) => _ = close(descriptor);

    private static void Set(int descriptor, int level, int option, int value) => _ = setsockopt(descriptor, level, option, &value, sizeof(int));

    private static int Checked(int descriptor) => descriptor >= 0 ? descriptor : throw new InvalidOperationException($"the loops cannot start: {Words(LastError)}");

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_ctl(int epoll, int operation, int descriptor, byte* @event);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int epoll_wait(int epoll, byte* events, int count, int milliseconds);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getrlimit(int resource, ulong* limits);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint value, int flags);

    [LibraryImport("libc")]
    private static partial nint read(int descriptor, void* target, nuint length);

    [LibraryImport("libc")]
    private static partial nint write(int descriptor, void* bytes, nuint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int family, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int descriptor, byte* address, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int accept4(int descriptor, byte* address, uint* length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getsockname(int descriptor, byte* address, uint* length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int getsockopt(int descriptor, int level, int option, int* value, uint* length);

    [LibraryImport("libc")]
    private static partial int setsockopt(int descriptor, int level, int option, int* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int descriptor, byte* target, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int descriptor, byte* bytes, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint sendmsg(int descriptor, Message* message, int flags);

    [LibraryImport("libc")]
    private static partial int shutdown(int descriptor, int how);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);
}
