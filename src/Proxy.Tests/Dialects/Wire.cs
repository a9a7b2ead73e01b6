using System.Buffers;
using System.Text;
using Proxy.Buffers;
using Proxy.Chat;
using Proxy.Dialects.Events;

namespace Proxy.Tests.Dialects;

/// <summary>Converts bytes to events and back as the proxy does, and reads the files that tests compare with.</summary>
internal static class Wire
{
    public static readonly ReplyStamp Stamp = new("01JTESTTRACE0000000000000A", new DateTimeOffset(2026, 11, 23, 6, 33, 23, TimeSpan.Zero).AddTicks(581956),
        "tiny");

    public static string Root { get; } = FindRoot();

    public static string Transcripts => Path.Combine(Root, "src", "Proxy.Tests", "Transcripts");

    /// <summary>The folders with events and their form in each dialect; <c>matrix</c> beside them holds requests.</summary>
    public static IReadOnlyList<string> Scenarios { get; } = [.. Directory.GetDirectories(Transcripts)
        .Where(folder => File.Exists(Path.Combine(folder, "events.jsonl"))).Order(StringComparer.Ordinal)];

    /// <summary>A recording's body, without the HTTP head.</summary>
    public static byte[] Recording(string name)
    {
        var bytes = File.ReadAllBytes(Path.Combine(Root, "src", "Proxy.Tests", "Recordings", name + ".http"));
        var head = bytes.AsSpan().IndexOf("\r\n\r\n"u8);
        return head >= 0 ? bytes[(head + 4)..] : bytes[(bytes.AsSpan().IndexOf("\n\n"u8) + 2)..];
    }

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static string Text(Action<IBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(output);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    /// <summary>The events of a stream that arrives in these pieces.</summary>
    public static List<ChatEvent> Read(BackendDialect dialect, out bool whole, params ReadOnlySpan<byte[]> pieces)
    {
        using var cutter = FrameCutter.For(dialect.Framing);
        using var pending = new PooledBody();
        var reader = dialect.NewEventReader();
        var events = new List<ChatEvent>();
        foreach (var piece in pieces)
        {
            pending.Write(piece);
            var rest = pending.Span;
            while (cutter.TryTake(ref rest, out _, out var payload))
            {
                if (!payload.IsEmpty) reader.Read(payload, events);
            }

            pending.Consume(pending.Length - rest.Length);
        }

        var last = cutter.PayloadOfRest(pending.Span);
        if (!last.IsEmpty) reader.Read(last, events);
        whole = reader.End(events);
        return events;
    }

    public static List<ChatEvent> Read(BackendDialect dialect, string stream) => Read(dialect, out _, Bytes(stream));

    public static string Write(ClientDialect dialect, IReadOnlyList<ChatEvent> events, ReplyStamp stamp) => Text(output =>
    {
        var writer = dialect.NewEventWriter(stamp);
        foreach (var happened in events) writer.Write(happened, output);
        writer.End(output);
    });

    /// <summary>Events as they are published, one on each line: easy for a test to compare and for a person to read.</summary>
    public static string Lines(IReadOnlyList<ChatEvent> events) => Text(output =>
    {
        var writer = new EventSchemaWriter();
        foreach (var happened in events) writer.Write(happened, output);
    });

    public static List<ChatEvent> Parse(string lines)
    {
        var reader = new EventSchemaReader();
        var events = new List<ChatEvent>();
        foreach (var line in lines.Split('\n')) reader.Read(Bytes(line), events);
        return events;
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Proxy.sln"))) folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("the repository is not above the tests");
    }
}
