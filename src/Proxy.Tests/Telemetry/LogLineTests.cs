using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Telemetry;

namespace Proxy.Tests.Telemetry;

public sealed class LogLineTests
{
    private static readonly DateTimeOffset Noon = new(2026, 11, 23, 12, 0, 0, 7, TimeSpan.FromHours(2));

    private static string Write(LogFormat format, Action<LogLine> add)
    {
        var output = new MemoryStream();
        using (var writer = new LogWriter(output))
        {
            var line = LogLine.Begin(format, Noon, LogLevel.Warning, " named"u8);
            add(line);
            line.End(writer);
        }

        return Encoding.UTF8.GetString(output.ToArray());
    }

    public static TheoryData<string> Nasty() =>
    [
        "two\nlines", "carriage\rreturn", "quote\" fault=none \"", "a=b", "", " ", "tab\t", "nul\0", "\u001b[31mred", "\u0085next", "\u2028line", "\u009b31m",
        "\ud800", "é漢🙂", "back\\slash", "\\\"", "x\u007f",
        "\u202eevil", "\u2066a\u2069 b", "zero\u200bwidth", "\u200e", "\u061c", "\ufeff", "\u00ad", "\U000e0041 tag", "é\u202e漢🙂",
    ];

    [Theory]
    [MemberData(nameof(Nasty))]
    public void Value_is_nasty_It_stays_a_value(string value)
    {
        foreach (var format in (LogFormat[])[LogFormat.Text, LogFormat.Json])
        {
            var text = Write(format, line => line.Add(" model="u8, value).Add(" after="u8, 1L));

            Assert.EndsWith("\n", text, StringComparison.Ordinal);
            // also no format characters, which can reverse or hide text
            Assert.DoesNotContain(text.EnumerateRunes(), rune => Rune.GetUnicodeCategory(rune) is System.Globalization.UnicodeCategory.Format);
            Assert.DoesNotContain(text[..^1], c => char.IsControl(c) || c is '\u2028' or '\u2029'); // no characters that a terminal or log collector interprets
            if (format is LogFormat.Json)
            {
                Assert.Equal((value == "\ud800" ? "\ufffd" : value, 1),
                    (JsonElement.Parse(text).GetProperty("model").GetString(), JsonElement.Parse(text).GetProperty("after").GetInt32()));
                continue;
            }

            Assert.StartsWith("2026-11-23T10:00:00.007Z warn named model=", text, StringComparison.Ordinal);
            Assert.EndsWith(" after=1\n", text, StringComparison.Ordinal);
            var said = text["2026-11-23T10:00:00.007Z warn named model=".Length..^" after=1\n".Length];
            Assert.Equal(value == "\ud800" ? "\ufffd" : value, said.StartsWith('"') ? JsonElement.Parse(said).GetString() : said);
            if (!said.StartsWith('"')) Assert.Matches("^[!#-<>-~]+$", said);
        }
    }

    [Fact]
    public void All_kinds_of_values_Are_written_or_left_out()
    {
        static void Add(LogLine line) =>
            line.Add(" s="u8, "v").Add(" none="u8, (string?)null).Add(" l="u8, 5L).Add(" nol="u8, (long?)null).Add(" d="u8, 1.005).Add(" nod="u8, (double?)null)
                .Add(" yes="u8, true).Add(" no="u8, false);

        Assert.Equal("2026-11-23T10:00:00.007Z warn named s=v l=5 d=1 yes=true no=false\n",
            Write(LogFormat.Text, Add).Replace("d=1.00 ", "d=1 ", StringComparison.Ordinal).Replace("d=1.01 ", "d=1 ", StringComparison.Ordinal));
        var json = JsonElement.Parse(Write(LogFormat.Json, Add));
        Assert.Equal(["time", "level", "event", "s", "l", "d", "yes", "no"], json.EnumerateObject().Select(p => p.Name));
        Assert.Equal(("2026-11-23T10:00:00.007Z", "warn", "named"),
            (json.GetProperty("time").GetString(), json.GetProperty("level").GetString(), json.GetProperty("event").GetString()));
    }

    [Fact]
    public void Value_is_long_It_is_written_whole()
    {
        var value = new string('x', 100_000) + "\n";

        Assert.Equal(value, JsonElement.Parse(Write(LogFormat.Json, line => line.Add(" v="u8, value))).GetProperty("v").GetString());
        Assert.Contains(new string('x', 100_000), Write(LogFormat.Text, line => line.Add(" v="u8, value)), StringComparison.Ordinal);
    }

    [Fact]
    public void Program_says_something_It_has_the_same_shape()
    {
        var output = new MemoryStream();
        using (var writer = new LogWriter(output))
        {
            var log = new ProxyLoggerProvider(writer, LogFormat.Json, TimeProvider.System).CreateLogger("Proxy");
            log.Log(LogLevel.Error, new EventId(1, "backend_down"),
                new KeyValuePair<string, object?>[] { new("Backend", "a\"b"), new("TraceId", 5), new("{OriginalFormat}", "x") }, new IOException("why\nhow"),
                static (_, _) => "it\nfell");
            log.Log(LogLevel.Debug, default, "", null, static (_, _) => "not heard");
            var framework = new ProxyLoggerProvider(writer, LogFormat.Json, TimeProvider.System).CreateLogger("Microsoft.AspNetCore");
            writer.Least = LogLevel.Trace;
            framework.Log(LogLevel.Information, default, "", null, static (_, _) => "chatter");
        }

        var line = JsonElement.Parse(output.ToArray());
        Assert.Equal(("backend_down", "it\nfell", "a\"b", "5"), (line.GetProperty("event").GetString(), line.GetProperty("message").GetString(),
            line.GetProperty("backend").GetString(), line.GetProperty("trace_id").GetString()));
        Assert.Contains("why\nhow", line.GetProperty("exception").GetString(), StringComparison.Ordinal);
    }
}
