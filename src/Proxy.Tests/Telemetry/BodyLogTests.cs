using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Time.Testing;
using Proxy.Buffers;
using Proxy.Telemetry;
using Proxy.Tests.Backends;

namespace Proxy.Tests.Telemetry;

/// <summary>The file of bodies: what it says, how it is renamed, and what a broken disk does to it.</summary>
public sealed class BodyLogTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("proxy-bodies-").FullName;
    private readonly Lines lines = new();
    private readonly FakeTimeProvider time = new();

    private string FilePath => Path.Combine(folder, "bodies.log");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private static string Redacted(string json)
    {
        var output = new MemoryStream();
        using (var writer = new Utf8JsonWriter(output, new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            BodyRedactor.Copy(Encoding.UTF8.GetBytes(json), writer);
        return Encoding.UTF8.GetString(output.ToArray());
    }

    private static LoggedBody Body(string text, string id = "T")
    {
        var bytes = new PooledBody();
        bytes.Write(Encoding.UTF8.GetBytes(text));
        return new(id, "request", "key", "m", bytes) { Length = bytes.Length };
    }

    /// <summary>Writes bodies and returns when all are on the disk, or lost.</summary>
    private async Task<BodyLog> WriteAsync(long size, int files, params LoggedBody[] bodies)
    {
        var log = new BodyLog(FilePath, size, files, lines, time);
        foreach (var body in bodies) log.Post(body);
        await log.RunAsync(new CancellationToken(canceled: true));
        return log;
    }

    [Theory]
    [InlineData("""{"api_key":"x","Authorization":{"a":[1]},"X-API-Key":["y"],"password":null,"max_tokens":5}""",
        """{"api_key":"[redacted]","Authorization":"[redacted]","X-API-Key":"[redacted]","password":"[redacted]","max_tokens":5}""")]
    [InlineData("""{"text":"curl -H 'Authorization: Bearer abcdefghijklmnop' and sk-proj-0123456789abcdef, pxy-0123456789abcdef."}""",
        """{"text":"curl -H 'Authorization: Bearer [redacted]' and [redacted], [redacted]."}""")]
    [InlineData("""{"token":"Hello","n":1.50,"e":1e400,"b":[true,null,"ü\u00fc"]}""", """{"token":"Hello","n":1.50,"e":1e400,"b":[true,null,"üü"]}""")]
    public void Secrets_are_struck_out_and_all_else_stays(string json, string expected) => Assert.Equal(expected, Redacted(json));

    [Fact]
    public void Images_are_replaced_by_their_length()
    {
        var image = Convert.ToBase64String(new byte[3000]);

        Assert.Equal("""{"url":"data:image/png;base64,[4000 characters]","images":["[4000 characters]"]}""",
            Redacted($$"""{"url":"data:image/png;base64,{{image}}","images":["{{image}}"]}"""));
    }

    [Fact]
    public async Task Body_is_no_JSON_The_line_still_is()
    {
        await WriteAsync(1 << 20, 1, Body("{\"a\":1}\n{\"a\":"), Body("\u0000\u0001 not json"));

        var written = await File.ReadAllLinesAsync(FilePath);

        Assert.Equal("""[{"a":1},"[5 bytes that are not JSON]"]""", JsonElement.Parse(written[0]).GetProperty("body").GetRawText());
        Assert.Equal("""["[11 bytes that are not JSON]"]""", JsonElement.Parse(written[1]).GetProperty("body").GetRawText());
    }

    [Fact]
    public async Task File_is_full_It_is_renamed_and_the_oldest_goes()
    {
        var text = $"\"{new string('.', 400)}\"";

        var log = await WriteAsync(1200, 2, [.. Enumerable.Range(0, 9).Select(number => Body(text, $"T{number}"))]); // two lines fill a file

        Assert.Equal(["T8"], Ids(FilePath));
        Assert.Equal(["T6", "T7"], Ids(FilePath + ".1"));
        Assert.Equal(["T4", "T5"], Ids(FilePath + ".2"));
        Assert.Equal(3, Directory.GetFiles(folder).Length);
        Assert.Equal((9, 0), (log.Written, log.Lost));

        static IEnumerable<string?> Ids(string path) => File.ReadLines(path).Select(static line => JsonElement.Parse(line).GetProperty("trace_id").GetString());
    }

    [Fact]
    public async Task Disk_is_broken_Bodies_are_lost_and_counted_and_said_once()
    {
        Directory.CreateDirectory(FilePath); // a folder is in the file's place

        var log = await WriteAsync(1 << 20, 1, Body("1"), Body("2"), Body("3"));

        Assert.Equal((0, 3), (log.Written, log.Lost));
        Assert.Single(lines.All, static line => line.StartsWith("bodies_failed", StringComparison.Ordinal));
    }

    [Fact]
    public void Disk_is_slow_Nobody_waits_and_what_is_too_much_is_counted()
    {
        var log = new BodyLog(FilePath, 1 << 20, 1, lines, time); // it does not run

        for (var i = 0; i < 2000; i++) log.Post(Body("1"));

        Assert.Equal(2000 - 1024, log.Lost);
    }
}
