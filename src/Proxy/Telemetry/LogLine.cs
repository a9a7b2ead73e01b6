using System.Buffers;
using System.Buffers.Text;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;

namespace Proxy.Telemetry;

/// <summary>How a line looks: <c>key=value</c> text for eyes, or one JSON object for collectors.</summary>
internal enum LogFormat { Text, Json }

/// <summary>Builds log lines in a buffer of the current thread. A value is quoted and escaped where it must be, so no client can write a line of its own.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Reliability", "CA1001", Justification = "One a thread, for as long as the thread; its buffer is never given back.")]
internal sealed class LogLine
{
    [ThreadStatic] private static LogLine? current;
    /// <summary>What needs no quotes: visible ASCII, without the quote and the sign that would end a key.</summary>
    private static readonly SearchValues<char> Plain = SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c).Where(c => c is not ('"' or '='))]);

    private readonly PooledBody buffer = new(1024);
    private readonly Utf8JsonWriter json;
    private LogFormat format;

    private LogLine() => json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    public static LogLine Begin(LogFormat format, DateTimeOffset time, LogLevel level, string named)
    {
        var line = current ??= new LogLine();
        line.format = format;
        line.buffer.Clear();
        if (format is LogFormat.Json)
        {
            line.json.Reset();
            line.json.WriteStartObject();
            line.json.WriteString("time"u8, time.UtcDateTime);
            line.json.WriteString("level"u8, Name(level));
            line.json.WriteString("event"u8, named);
            return line;
        }

        Utf8Formatter.TryFormat(time.UtcDateTime, line.buffer.GetSpan(32), out var written, 'O');
        line.buffer.Advance(written - 5); // milliseconds will do: 7 digits and Z become 3 and Z
        line.buffer.Write("Z "u8);
        line.Raw(Name(level));
        line.buffer.Write(" "u8);
        line.Raw(named);
        return line;
    }

    public LogLine Add(ReadOnlySpan<byte> key, string? value)
    {
        if (value is null) return this;
        if (format is LogFormat.Text && value.Length > 0 && !value.AsSpan().ContainsAnyExcept(Plain))
        {
            Key(key);
            Ascii.FromUtf16(value, buffer.GetSpan(value.Length), out var written);
            buffer.Advance(written);
            return this;
        }

        // Half of a surrogate pair is no text, and the writers throw at it.
        if (value.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') >= 0) value = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(value));
        if (format is LogFormat.Json)
        {
            json.WriteString(key, value);
            return this;
        }

        Key(key);
        buffer.Write("\""u8);
        buffer.Write(JsonEncodedText.Encode(value, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).EncodedUtf8Bytes);
        buffer.Write("\""u8);
        return this;
    }

    public LogLine Add(ReadOnlySpan<byte> key, long? value)
    {
        if (value is not { } number) return this;
        if (format is LogFormat.Json)
        {
            json.WriteNumber(key, number);
            return this;
        }

        Key(key);
        Utf8Formatter.TryFormat(number, buffer.GetSpan(24), out var written);
        buffer.Advance(written);
        return this;
    }

    public LogLine Add(ReadOnlySpan<byte> key, double? value)
    {
        if (value is not { } number) return this;

        // Hundredths as an integer: the shortest form of a double is looked for at the cost of a hundred such divisions.
        var hundredths = (long)Math.Round(number * 100);
        Span<byte> digits = stackalloc byte[32];
        Utf8Formatter.TryFormat(hundredths / 100, digits, out var length);
        if (Math.Abs(hundredths % 100) is var rest and > 0)
        {
            digits[length++] = (byte)'.';
            digits[length++] = (byte)('0' + (rest / 10));
            if (rest % 10 > 0) digits[length++] = (byte)('0' + (rest % 10));
        }

        if (format is LogFormat.Json)
        {
            json.WritePropertyName(key);
            json.WriteRawValue(digits[..length], skipInputValidation: true);
            return this;
        }

        Key(key);
        buffer.Write(digits[..length]);
        return this;
    }

    public LogLine Add(ReadOnlySpan<byte> key, bool value)
    {
        if (format is LogFormat.Json)
        {
            json.WriteBoolean(key, value);
            return this;
        }

        Key(key);
        buffer.Write(value ? "true"u8 : "false"u8);
        return this;
    }

    public void End(LogWriter writer)
    {
        if (format is LogFormat.Json)
        {
            json.WriteEndObject();
            json.Flush();
        }

        writer.Write(buffer.Span);
    }

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warn",
        _ => "error",
    };

    private void Key(ReadOnlySpan<byte> key)
    {
        var room = buffer.GetSpan(key.Length + 2);
        room[0] = (byte)' ';
        key.CopyTo(room[1..]);
        room[key.Length + 1] = (byte)'=';
        buffer.Advance(key.Length + 2);
    }

    private void Raw(string text) => buffer.Advance(Encoding.UTF8.GetBytes(text, buffer.GetSpan(text.Length * 3)));
}
