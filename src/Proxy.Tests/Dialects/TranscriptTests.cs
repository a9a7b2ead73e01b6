using System.Net.ServerSentEvents;
using System.Text;
using Proxy.Chat;
using Proxy.Dialects;

namespace Proxy.Tests.Dialects;

/// <summary>
/// Each scenario is one list of events and one file for each dialect. Each dialect writes the events as its file and reads its file as the events. If it cannot
/// express all of them, <c>NAME.read.jsonl</c> has the events that come back. So two dialects that agree with the events agree with each other.
/// </summary>
public sealed class TranscriptTests
{
    private static readonly (string Name, DialectName Dialect, string Stream, string Whole)[] Files =
    [
        ("openai", DialectName.OpenAiChat, "openai.sse", "openai.whole.json"),
        ("ollama", DialectName.OllamaChat, "ollama.jsonl", "ollama.whole.json"),
        ("anthropic", DialectName.Anthropic, "anthropic.sse", "anthropic.whole.json"),
        ("responses", DialectName.OpenAiResponses, "responses.sse", "responses.whole.json"),
        ("completions", DialectName.OpenAiCompletions, "completions.sse", "completions.whole.json"),
        ("generate", DialectName.OllamaGenerate, "generate.jsonl", "generate.whole.json"),
    ];

    /// <summary>Scenarios with tools, which a prompt call cannot offer.</summary>
    private static readonly string[] WithTools = ["two_tools", "no_call_ids", "signed_thinking"];

    public static TheoryData<string, string> Streams() => Each(files => files.Stream);

    public static TheoryData<string, string> Wholes() => Each(files => files.Whole);

    [Theory]
    [MemberData(nameof(Streams))]
    public void Events_Are_written_as_the_stream(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);

        var written = Wire.Write(DialectTable.Client(name)!, Events(scenario), Stamp(scenario));

        Assert.Equal(Read(scenario, file), written);
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Stream_Is_read_as_the_events(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);

        var events = Wire.Read(DialectTable.Backend(name)!, Read(scenario, file));

        Assert.Equal(Expected(scenario, dialect), Wire.Lines(events));
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Stream_cut_at_every_byte_Gives_the_same_events(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);
        var backend = DialectTable.Backend(name)!;
        var bytes = Wire.Bytes(Read(scenario, file));
        var expected = Expected(scenario, dialect);

        for (var cut = 0; cut <= bytes.Length; cut++)
        {
            var events = Wire.Read(backend, out _, bytes[..cut], bytes[cut..]);
            Assert.Equal(expected, Wire.Lines(events));
        }

        var byByte = new byte[bytes.Length][];
        for (var i = 0; i < bytes.Length; i++) byByte[i] = [bytes[i]];
        Assert.Equal(expected, Wire.Lines(Wire.Read(backend, out _, byByte)));
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Stream_that_ends_early_Is_never_whole(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);
        var backend = DialectTable.Backend(name)!;
        var bytes = Wire.Bytes(Read(scenario, file));
        // In dialects with an end marker after the finish reason, a stream that ends after the reason is complete; a stream without a reason never is.
        var reason = Math.Max(bytes.AsSpan().LastIndexOf("\"finish_reason\":\""u8), bytes.AsSpan().LastIndexOf("\"stop_reason\":\""u8));
        var end = backend.EndMarker.IsEmpty ? LastFrame(bytes, backend.Framing) : reason < 0 ? bytes.Length : reason;

        for (var cut = 0; cut <= end; cut++)
        {
            var events = Wire.Read(backend, out var whole, bytes[..cut]);
            Assert.True(!whole || events is [.., ChatEvent.Finished { Error: not null }], $"cut at {cut}: {Encoding.UTF8.GetString(bytes[..cut])}");
        }
    }

    [Theory]
    [MemberData(nameof(Wholes))]
    public void Events_Are_folded_into_the_whole_answer(string scenario, string dialect)
    {
        var (_, name, _, file) = Of(dialect);

        var written = Wire.Text(output => DialectTable.Client(name)!.WriteWhole(Events(scenario), Stamp(scenario), output));

        Assert.Equal(Read(scenario, file).TrimEnd('\n'), written);
    }

    [Theory]
    [MemberData(nameof(Wholes))]
    public void Whole_answer_Is_read_and_written_back_the_same(string scenario, string dialect)
    {
        var (_, name, _, file) = Of(dialect);
        var bytes = Wire.Bytes(Read(scenario, file).TrimEnd('\n'));
        var backend = DialectTable.Backend(name)!;
        var events = new List<ChatEvent>();

        Assert.True(backend.IsWholeAnswer(bytes));
        Assert.True(backend.TryReadWhole(bytes, events));

        Assert.Equal(Encoding.UTF8.GetString(bytes), Wire.Text(output => DialectTable.Client(name)!.WriteWhole(events, Stamp(scenario), output)));
        Assert.Equal(Gist(Wire.Parse(Expected(scenario, dialect))), Gist(events));
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Server_sent_events_Are_cut_as_the_framework_cuts_them(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);
        if (DialectTable.Client(name)!.Framing is not StreamFraming.ServerSentEvents) return;
        var bytes = Wire.Bytes(Read(scenario, file));

        var referee = SseParser.Create(new MemoryStream(bytes)).Enumerate().Select(item => item.Data).ToList();
        var ours = new List<string>();
        using var cutter = FrameCutter.For(StreamFraming.ServerSentEvents);
        ReadOnlySpan<byte> rest = bytes;
        while (cutter.TryTake(ref rest, out _, out var payload)) ours.Add(Encoding.UTF8.GetString(payload));

        Assert.Equal(referee, ours);
        Assert.Contains(ours, data => data.StartsWith('{'));
    }

    [Theory]
    [MemberData(nameof(Streams))]
    public void Last_frame_alone_Is_the_end(string scenario, string dialect)
    {
        var (_, name, file, _) = Of(dialect);
        var backend = DialectTable.Backend(name)!;
        using var cutter = FrameCutter.For(backend.Framing);
        var kinds = new List<FrameKind>();
        ReadOnlySpan<byte> rest = Wire.Bytes(Read(scenario, file));
        while (cutter.TryTake(ref rest, out _, out var payload))
        {
            kinds.Add(backend.Classify(payload));
            Assert.Equal(kinds[^1] is FrameKind.End, backend.IsEnd(payload));
        }

        Assert.Equal(scenario is "broken_off" ? FrameKind.Error : FrameKind.End, kinds[^1]);
        // in Responses an error is two events
        Assert.All(kinds[..^1], kind => Assert.True(kind is FrameKind.Preamble or FrameKind.Content || (dialect, scenario) is ("responses", "broken_off")));
    }

    [Fact]
    public void Every_scenario_Has_all_its_files()
    {
        foreach (var folder in Wire.Scenarios)
        {
            foreach (var (name, _, stream, whole) in Files)
            {
                if (name is "completions" or "generate" && WithTools.Contains(Path.GetFileName(folder))) continue;
                Assert.True(File.Exists(Path.Combine(folder, stream)), $"{folder} has no {stream}");
                // an answer that broke off has no whole form
                Assert.True(File.Exists(Path.Combine(folder, whole)) != folder.EndsWith("broken_off", StringComparison.Ordinal), $"{folder}: {whole}");
            }
        }
    }

    private static TheoryData<string, string> Each(Func<(string Name, DialectName Dialect, string Stream, string Whole), string> file)
    {
        var data = new TheoryData<string, string>();
        foreach (var folder in Wire.Scenarios.Order(StringComparer.Ordinal))
        {
            foreach (var files in Files)
            {
                if (File.Exists(Path.Combine(folder, file(files)))) data.Add(Path.GetFileName(folder), files.Name);
            }
        }

        return data;
    }

    private static (string Name, DialectName Dialect, string Stream, string Whole) Of(string dialect) => Files.Single(files => files.Name == dialect);

    private static ReplyStamp Stamp(string scenario) => Wire.Stamp with { IncludeUsage = scenario == "usage_asked" };

    private static string Read(string scenario, string file) => File.ReadAllText(Path.Combine(Wire.Transcripts, scenario, file));

    private static List<ChatEvent> Events(string scenario) => Wire.Parse(Read(scenario, "events.jsonl"));

    private static string Expected(string scenario, string dialect)
    {
        var own = Path.Combine(Wire.Transcripts, scenario, $"{dialect}.read.jsonl");
        var lines = File.Exists(own) ? File.ReadAllText(own) : Read(scenario, "events.jsonl");
        return dialect switch
        {
            "ollama" or "generate" => lines.Replace("\"id\":\"chatcmpl-7\",", "", StringComparison.Ordinal), // its answers have no id
            "anthropic" => lines.Replace(",\"created\":1795415603", "", StringComparison.Ordinal), // its answers have no creation time
            "responses" => lines.Replace("chatcmpl-7", $"resp_{Wire.Stamp.TraceId}", StringComparison.Ordinal), // its ids have a form of their own
            _ => lines,
        };
    }

    /// <summary>The content, however it was cut into pieces, without what only streams can lose (usage that was not asked for).</summary>
    private static string Gist(List<ChatEvent> events)
    {
        var whole = WholeAnswer.Of(events);
        var text = new StringBuilder();
        foreach (var choice in whole.Choices)
        {
            text.Append(choice.Number).Append('|').Append(choice.Reasoning).Append('|').Append(choice.Answer).Append('|').Append(choice.Refusal).Append('|')
                .Append(choice.Reason);
            foreach (var call in choice.ToolCalls) text.Append('|').Append(call.Id).Append(' ').Append(call.Name).Append(' ').Append(call.Arguments);
            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary>Where the last character of the last frame begins. Before it the stream cannot be complete.</summary>
    private static int LastFrame(byte[] bytes, StreamFraming framing)
    {
        var trimmed = bytes.AsSpan().TrimEnd((byte)'\n').Length;
        var before = bytes.AsSpan(0, trimmed).LastIndexOf((byte)'\n');
        return framing is StreamFraming.ServerSentEvents ? before + 1 + "data: ".Length : before + 1;
    }
}
