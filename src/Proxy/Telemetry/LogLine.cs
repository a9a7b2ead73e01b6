using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;

namespace Proxy.Telemetry;

/// <summary>The format of a line: <c>key=value</c> text for people, or one JSON object for log collectors.</summary>
internal enum LogFormat { Text, Json }

/// <summary>
/// Builds log lines in a buffer of the current thread. Values are quoted and escaped where necessary, so no client can write a line of its own.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage(
    "Reliability", "CA1001", Justification = "One per thread for the thread's life; its buffers are never returned.")]
internal sealed class LogLine
{
    private const int MostDigits = 24; // digits and sign of a long, a point and two more digits

    [ThreadStatic] private static LogLine? current;

    private readonly PooledBody buffer = new(1024); // of a JSON line
    private readonly Utf8JsonWriter json;
    private byte[] text = new byte[1024]; // of a text line
    private int length;
    private LogFormat format;
    private LogLevel severity;

    // The timestamp and level of this thread's last text line; most lines begin with the same.
    private long second = -1;
    private LogLevel level;
    private int beginning;

    private LogLine() =>
        json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });

    /// <param name="format">Text or JSON.</param>
    /// <param name="time">The time of the event.</param>
    /// <param name="level">The level of the event.</param>
    /// <param name="named">The name of the event, after a space: <c>" call"</c>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LogLine Begin(LogFormat format, DateTimeOffset time, LogLevel level, ReadOnlySpan<byte> named)
    {
        var line = current ??= new LogLine();
        line.format = format;
        line.severity = level;
        if (format is LogFormat.Json)
        {
            line.BeginJson(time, level, named);
        }
        else
        {
            line.BeginText(time.UtcDateTime, level);
            line.Append(named);
        }

        return line;
    }

    /// <summary>Adds a field, or nothing if the value is null.</summary>
    /// <param name="key">As it is written in a text line, with the space and the equals sign: <c>" model="</c>.</param>
    /// <param name="value">Any value, which may come from a client.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LogLine Add(ReadOnlySpan<byte> key, string? value)
    {
        if (value is null) return this;
        if (format is LogFormat.Json)
        {
            AddJson(key, value);
        }
        else
        {
            Value(value, Key(key, value.Length));
        }

        return this;
    }

    /// <inheritdoc cref="Add(ReadOnlySpan{byte}, string?)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LogLine Add(ReadOnlySpan<byte> key, long? value)
    {
        if (value is not { } number) return this;
        if (format is LogFormat.Json)
        {
            AddJson(key, number);
        }
        else
        {
            var room = Key(key, MostDigits);
            length += Digits(number, room);
        }

        return this;
    }

    /// <inheritdoc cref="Add(ReadOnlySpan{byte}, string?)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LogLine Add(ReadOnlySpan<byte> key, double? value)
    {
        if (value is not { } number) return this;
        if (format is LogFormat.Json)
        {
            AddJson(key, number);
        }
        else
        {
            var room = Key(key, MostDigits);
            length += Hundredths(number, room);
        }

        return this;
    }

    /// <inheritdoc cref="Add(ReadOnlySpan{byte}, string?)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LogLine Add(ReadOnlySpan<byte> key, bool value)
    {
        if (format is LogFormat.Json)
        {
            AddJson(key, value);
        }
        else
        {
            var word = value ? "true"u8 : "false"u8;
            var room = Key(key, word.Length);
            word.CopyTo(room);
            length += word.Length;
        }

        return this;
    }

    public void End(LogWriter writer)
    {
        if (format is LogFormat.Text)
        {
            writer.Write(text.AsSpan(0, length), severity);
            return;
        }

        json.WriteEndObject();
        json.Flush();
        writer.Write(buffer.Span, severity);
    }

    // Except for the milliseconds, the buffer usually still holds this text from the last line.
    private void BeginText(DateTime time, LogLevel level)
    {
        var now = time.Ticks / TimeSpan.TicksPerSecond;
        if (now != second || level != this.level)
        {
            Utf8Formatter.TryFormat(time, text, out _, 'O');
            length = "2026-11-23T12:00:00.000".Length;
            Append("Z "u8);
            Append(Name(level));
            (second, this.level, beginning) = (now, level, length);
        }

        var milliseconds = time.Millisecond;
        text[20] = (byte)('0' + (milliseconds / 100));
        text[21] = (byte)('0' + (milliseconds / 10 % 10));
        text[22] = (byte)('0' + (milliseconds % 10));
        length = beginning;
    }

    private void BeginJson(DateTimeOffset time, LogLevel level, ReadOnlySpan<byte> named)
    {
        buffer.Clear();
        json.Reset();
        json.WriteStartObject();
        json.WriteString("time"u8, time.UtcDateTime);
        json.WriteString("level"u8, Name(level));
        json.WriteString("event"u8, named[1..]);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AddJson(ReadOnlySpan<byte> key, string value)
    {
        if (Ascii.IsValid(value)) json.WriteString(key[1..^1], value);
        else json.WriteString(key[1..^1], Escaped(value));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AddJson(ReadOnlySpan<byte> key, long value) => json.WriteNumber(key[1..^1], value);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AddJson(ReadOnlySpan<byte> key, bool value) => json.WriteBoolean(key[1..^1], value);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AddJson(ReadOnlySpan<byte> key, double value)
    {
        Span<byte> digits = stackalloc byte[MostDigits];
        json.WritePropertyName(key[1..^1]);
        json.WriteRawValue(digits[..Hundredths(value, digits)], skipInputValidation: true);
    }

    private static ReadOnlySpan<byte> Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace"u8,
        LogLevel.Debug => "debug"u8,
        LogLevel.Information => "info"u8,
        LogLevel.Warning => "warn"u8,
        _ => "error"u8,
    };

    /// <summary>Writes the key and returns the room for its value, which is not counted yet.</summary>
    /// <remarks>
    /// Inlined, a literal key is copied by two or three moves: some 40 instructions per field instead of 84 with a call. Rarer methods are not inlined, because
    /// otherwise the compiler gives up inlining the others.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Key(ReadOnlySpan<byte> key, int valueLength)
    {
        var room = Room(key.Length + valueLength);
        key.CopyTo(room);
        length += key.Length;
        return room[key.Length..];
    }

    // Most values need no quotes.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Value(string value, Span<byte> room)
    {
        if (value.Length > 0 && AsciiText.TryCopyWord(value, room)) length += value.Length;
        else Quote(value);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Quote(string value)
    {
        Append("\""u8);
        Append(Escaped(value).EncodedUtf8Bytes);
        Append("\""u8);
    }

    private static JsonEncodedText Escaped(string value) =>
        JsonEncodedText.Encode(Whole(value), Ascii.IsValid(value) ? JavaScriptEncoder.UnsafeRelaxedJsonEscaping : LogTextEncoder.Instance);

    /// <summary>Replaces half of a surrogate pair, which is not valid text and makes the writers throw.</summary>
    private static string Whole(string value)
        => value.AsSpan().IndexOfAnyInRange('\ud800', '\udfff') < 0 ? value : Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(value));

    // Computed with integers: finding the shortest form of a double costs as much as a hundred such divisions.
    private static int Hundredths(double number, Span<byte> room)
    {
        var (whole, rest) = Math.DivRem((long)Math.Round(number * 100), 100);
        var written = Digits(whole, room);
        if (rest == 0) return written;

        var (tenth, hundredth) = Math.DivRem((int)Math.Abs(rest), 10);
        room[written++] = (byte)'.';
        room[written++] = (byte)('0' + tenth);
        if (hundredth > 0) room[written++] = (byte)('0' + hundredth);
        return written;
    }

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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Append(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        length += bytes.Length;
    }

    /// <summary>Returns room for <paramref name="more"/> bytes, which are not counted yet.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Room(int more) => text.Length - length >= more ? text.AsSpan(length) : Grown(more);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private Span<byte> Grown(int more)
    {
        Array.Resize(ref text, Math.Max(text.Length * 2, length + more));
        return text.AsSpan(length);
    }
}
