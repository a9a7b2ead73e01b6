using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Proxy.Buffers;

namespace Proxy.Telemetry;

/// <summary>A body of a call: a request, or the frames of an answer.</summary>
/// <param name="TraceId">The call's id.</param>
/// <param name="Kind">request or answer.</param>
/// <param name="Key">The name of the caller's key.</param>
/// <param name="Model">The model that was asked for, or that answered.</param>
/// <param name="Bytes">A JSON value, or several, each with a line end after it. Disposed by the log.</param>
internal sealed record LoggedBody(string TraceId, string Kind, string Key, string? Model, PooledBody Bytes)
{
    /// <summary>The number of bytes that there were, of which <see cref="Bytes"/> may have only the first.</summary>
    public long Length { get; init; }
}

/// <summary>
/// Writes the bodies of calls to a file of their own, a line of JSON each, without secrets. When the file is full, it is renamed to <c>.1</c>, the older ones
/// move up, and the oldest goes. A body that cannot be written is counted and dropped: neither a slow nor a broken disk delays or fails a call.
/// </summary>
/// <param name="path">The file.</param>
/// <param name="size">The size in bytes at which it is renamed.</param>
/// <param name="files">How many older files are kept.</param>
/// <param name="log">Told why the file cannot be written.</param>
/// <param name="time">The clock.</param>
internal sealed partial class BodyLog(string path, long size, int files, ILogger log, TimeProvider time)
{
    /// <summary>Bytes of bodies that may wait for the disk.</summary>
    private const long MostWaiting = 64 << 20;

    private static readonly TimeSpan Pause = TimeSpan.FromMinutes(1);

    private readonly Channel<(DateTimeOffset At, LoggedBody Body)> queue =
        Channel.CreateBounded<(DateTimeOffset, LoggedBody)>(new BoundedChannelOptions(1024) { SingleReader = true });

    private FileStream? file;
    private long length; // of the file
    private long failedAt = long.MinValue;
    private long waiting;
    private long written;
    private long lost;

    public long Written => Volatile.Read(ref written);
    public long Lost => Volatile.Read(ref lost);

    /// <summary>Hands over a body. Never waits.</summary>
    public void Post(LoggedBody body)
    {
        var bytes = body.Bytes.Length;
        if (Interlocked.Add(ref waiting, bytes) <= MostWaiting && queue.Writer.TryWrite((time.GetUtcNow(), body))) return;
        Interlocked.Add(ref waiting, -bytes);
        body.Bytes.Dispose();
        Interlocked.Increment(ref lost);
    }

    /// <summary>Writes what is handed over, until it is cancelled; then what is left.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var room = new PooledBody(16384);
        try
        {
            while (await queue.Reader.WaitToReadAsync(cancellation).ConfigureAwait(false)) WriteAll(room);
        }
        catch (OperationCanceledException)
        {
            WriteAll(room);
        }
        finally
        {
            room.Dispose();
            file?.Dispose();
            file = null;
        }
    }

    private void WriteAll(PooledBody room)
    {
        while (queue.Reader.TryRead(out var next))
        {
            Interlocked.Add(ref waiting, -next.Body.Bytes.Length);
            room.Clear();
            using (next.Body.Bytes) Format(next.At, next.Body, room);
            Append(room.Span);
        }
    }

    private static void Format(DateTimeOffset at, LoggedBody body, PooledBody line)
    {
        using var json = new Utf8JsonWriter(line, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        json.WriteStartObject();
        json.WriteString("time"u8, at.UtcDateTime);
        json.WriteString("trace_id"u8, body.TraceId);
        json.WriteString("kind"u8, body.Kind);
        json.WriteString("key"u8, body.Key);
        if (body.Model is { } model) json.WriteString("model"u8, model);
        json.WriteNumber("bytes"u8, body.Length);
        json.WriteStartArray("body"u8);
        foreach (var range in body.Bytes.Span.Split((byte)'\n'))
        {
            var value = body.Bytes.Span[range];
            if (!value.IsEmpty) Copy(value, json);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        line.Write("\n"u8);
    }

    /// <summary>Copies a value, or what it is if it is no JSON, or not all of it.</summary>
    private static void Copy(ReadOnlySpan<byte> value, Utf8JsonWriter json)
    {
        using var copy = new PooledBody(value.Length + 64);
        try
        {
            using (var writer = new Utf8JsonWriter(copy, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
                BodyRedactor.Copy(value, writer);
            json.WriteRawValue(copy.Span, skipInputValidation: true);
        }
        catch (Exception problem) when (problem is JsonException or InvalidOperationException)
        {
            json.WriteStringValue(string.Create(CultureInfo.InvariantCulture, $"[{value.Length} bytes that are not JSON]"));
        }
    }

    private void Append(ReadOnlySpan<byte> line)
    {
        if (file is null && failedAt != long.MinValue && time.GetElapsedTime(failedAt) < TimeSpan.FromSeconds(1))
        {
            Interlocked.Increment(ref lost);
            return;
        }

        try
        {
            file ??= Open();
            if (length > 0 && length + line.Length > size)
            {
                Rotate();
                file = Open();
            }

            file.Write(line);
            length += line.Length;
            Interlocked.Increment(ref written);
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
        {
            Failed(problem);
        }
    }

    private FileStream Open()
    {
        if (Path.GetDirectoryName(path) is { Length: > 0 } folder) Directory.CreateDirectory(folder);
        var opened = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.Append, Access = FileAccess.Write, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        length = opened.Length;
        return opened;
    }

    private void Rotate()
    {
        file!.Dispose();
        file = null;
        if (files == 0)
        {
            File.Delete(path);
            return;
        }

        for (var number = files - 1; number >= 1; number--)
        {
            if (File.Exists(Old(number))) File.Move(Old(number), Old(number + 1), overwrite: true);
        }

        File.Move(path, Old(1), overwrite: true);
    }

    private string Old(int number) => string.Create(CultureInfo.InvariantCulture, $"{path}.{number}");

    private void Failed(Exception problem)
    {
        Interlocked.Increment(ref lost);
        var now = time.GetTimestamp();
        if (failedAt == long.MinValue || time.GetElapsedTime(failedAt, now) > Pause) Unwritable(log, path, problem.Message);
        failedAt = now;
        var broken = file;
        file = null;
        try
        {
            broken?.Dispose();
        }
        catch (IOException)
        {
            // What it still held is lost.
        }
    }

    [LoggerMessage(1200, LogLevel.Warning, "Bodies cannot be written to {Path}: {Reason}", EventName = "bodies_failed")]
    private static partial void Unwritable(ILogger logger, string path, string reason);
}
