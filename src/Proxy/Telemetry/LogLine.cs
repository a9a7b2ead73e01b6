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
[System.Diagnostics.CodeAnalysis.SuppressMessage("Reliability", "CA1001", Justification = "One a thread, for as long as the thread; its buffers are never given back.")]
internal sealed class LogLine
{
    [ThreadStatic] private static LogLine? current;

    private readonly PooledBody buffer = new(1024); // of a JSON line
    private readonly Utf8JsonWriter json;
    private byte[] text = new byte[1024]; // of the other kind
    private int length;
    private LogFormat format;

    // The line's beginning up to the second, and the second it is of.
    private readonly byte[] second = new byte[20];
    private long secondOf = -1;

    private LogLine() => json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    public static LogLine Begin(LogFormat format, DateTimeOffset time, LogLevel level, string named)
    {
        var line = current ??= new LogLine();
        line.format = format;
        if (format is LogFormat.Json)
        {
            line.buffer.Clear();
            line.json.Reset();
            line.json.WriteStartObject();
            line.json.WriteString("time"u8, time.UtcDateTime);
            line.json.WriteString("level"u8, Name(level));
            line.json.WriteString("event"u8, named);
            return line;
        }

        line.length = 0;
        line.Time(time.UtcDateTime);
        line.Word(Name(level));
        line.Word(named);
        return line;
    }

    public LogLine Add(ReadOnlySpan<byte> key, string? value)
    {
        if (value is null) return this;
        if (format is LogFormat.Text && value.Length > 0 && TryPlain(key, value)) return this;

        // Half of a surrogate pair is no text, and the writers throw at it.
        if (value.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') >= 0) value = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(value));
        if (format is LogFormat.Json)
        {
            json.WriteString(key, value);
            return this;
        }

        var encoded = JsonEncodedText.Encode(value, JavaScriptEncoder.UnsafeRelaxedJsonEscaping).EncodedUtf8Bytes;
        var room = Key(key, encoded.Length + 2);
        room[0] = (byte)'"';
        encoded.CopyTo(room[1..]);
        room[encoded.Length + 1] = (byte)'"';
        length += encoded.Length + 2;
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

        var room = Key(key, 20);
        length += Digits(number, room);
        return this;
    }

    public LogLine Add(ReadOnlySpan<byte> key, double? value)
    {
        if (value is not { } number) return this;

        // Hundredths as an integer: the shortest form of a double is looked for at the cost of a hundred such divisions.
        var hundredths = (long)Math.Round(number * 100);
        Span<byte> digits = stackalloc byte[32];
        var written = Digits(hundredths / 100, digits);
        if (Math.Abs(hundredths % 100) is var rest and > 0)
        {
            digits[written++] = (byte)'.';
            digits[written++] = (byte)('0' + (rest / 10));
            if (rest % 10 > 0) digits[written++] = (byte)('0' + (rest % 10));
        }

        if (format is LogFormat.Json)
        {
            json.WritePropertyName(key);
            json.WriteRawValue(digits[..written], skipInputValidation: true);
            return this;
        }

        digits[..written].CopyTo(Key(key, written));
        length += written;
        return this;
    }

    public LogLine Add(ReadOnlySpan<byte> key, bool value)
    {
        if (format is LogFormat.Json)
        {
            json.WriteBoolean(key, value);
            return this;
        }

        var word = value ? "true"u8 : "false"u8;
        word.CopyTo(Key(key, word.Length));
        length += word.Length;
        return this;
    }

    public void End(LogWriter writer)
    {
        if (format is LogFormat.Text)
        {
            writer.Write(text.AsSpan(0, length));
            return;
        }

        json.WriteEndObject();
        json.Flush();
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

    private static int Digits(long number, Span<byte> room)
    {
        if (number is >= 0 and < 10)
        {
            room[0] = (byte)('0' + number);
            return 1;
        }

        Utf8Formatter.TryFormat(number, room, out var written);
        return written;
    }

    /// <summary>Key and value in one go where the value needs no quotes, as nearly all of them. False: nothing is written.</summary>
    private bool TryPlain(ReadOnlySpan<byte> key, string value)
    {
        var room = Room(key.Length + 2 + value.Length);
        if (!AsciiText.TryCopyWord(value, room[(key.Length + 2)..])) return false;
        Key(key, value.Length);
        length += value.Length;
        return true;
    }

    /// <summary>Writes the key and returns the room for its value, which is not counted yet.</summary>
    private Span<byte> Key(ReadOnlySpan<byte> key, int valueLength)
    {
        var room = Room(key.Length + 2 + valueLength);
        room[0] = (byte)' ';
        key.CopyTo(room[1..]);
        room[key.Length + 1] = (byte)'=';
        length += key.Length + 2;
        return room[(key.Length + 2)..];
    }

    private Span<byte> Room(int more)
    {
        if (text.Length - length < more) Array.Resize(ref text, Math.Max(text.Length * 2, length + more));
        return text.AsSpan(length);
    }

    // To the millisecond, in the form of ISO 8601.
    private void Time(DateTime time)
    {
        var now = time.Ticks / TimeSpan.TicksPerSecond;
        if (now != secondOf)
        {
            Span<byte> all = stackalloc byte[32];
            Utf8Formatter.TryFormat(time, all, out _, 'O');
            all[..second.Length].CopyTo(second);
            secondOf = now;
        }

        var room = Room(24);
        second.CopyTo(room);
        var milliseconds = time.Millisecond;
        room[20] = (byte)('0' + (milliseconds / 100));
        room[21] = (byte)('0' + (milliseconds / 10 % 10));
        room[22] = (byte)('0' + (milliseconds % 10));
        room[23] = (byte)'Z';
        length = 24;
    }

    private void Word(string word)
    {
        var room = Room(1 + (word.Length * 3));
        room[0] = (byte)' ';
        length += 1 + Encoding.UTF8.GetBytes(word, room[1..]);
    }
}
