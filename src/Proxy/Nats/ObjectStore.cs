using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using NATS.Client.Core;
using Proxy.Buffers;

namespace Proxy.Nats;

/// <summary>An object of an <see cref="ObjectStore"/>, as a message refers to it.</summary>
/// <param name="Bucket">The object store.</param>
/// <param name="Name">The object's name there.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Sha256">Lower-case hex.</param>
internal sealed record StoredObject(string Bucket, string Name, long Size, string Sha256);

/// <summary>
/// One bucket of JetStream's object store, in the form that NATS' own clients read: the chunks under one subject, then a description under another. The form:
/// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-20.md
/// </summary>
internal sealed class ObjectStore(string bucket, JetStream stream, INatsConnection connection)
{
    /// <summary>What NATS' own clients use.</summary>
    private const int ChunkSize = 128 << 10;

    public StreamPlan Plan(TimeSpan maxAge, long maxBytes) =>
        new($"OBJ_{bucket}", [$"$O.{bucket}.C.>", $"$O.{bucket}.M.>"], maxAge, maxBytes) { AllowRollup = true };

    /// <summary>Stores an object and returns when the server has all of it.</summary>
    /// <param name="name">Its name, safe in a subject.</param>
    /// <param name="data">Its bytes.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<StoredObject> PutAsync(string name, ReadOnlyMemory<byte> data, CancellationToken cancellation)
    {
        var chunk = Math.Clamp((connection.ServerInfo?.MaxPayload ?? ChunkSize) - 1024, 1024, ChunkSize);
        var chunks = 0;
        for (var at = 0; at < data.Length; at += chunk, chunks++)
        {
            var piece = data.Slice(at, Math.Min(chunk, data.Length - at));
            await stream.PublishAsync($"$O.{bucket}.C.{name}", piece, null, cancellation).ConfigureAwait(false);
        }

        var digest = SHA256.HashData(data.Span);
        using var description = new PooledBody(512);
        using (var json = new Utf8JsonWriter(description))
        {
            json.WriteStartObject();
            json.WriteString("name"u8, name);
            json.WriteString("bucket"u8, bucket);
            json.WriteString("nuid"u8, name);
            json.WriteNumber("size"u8, data.Length);
            json.WriteNumber("chunks"u8, chunks);
            json.WriteString("digest"u8, "SHA-256=" + PaddedUrl(digest));
            json.WriteStartObject("options"u8);
            json.WriteNumber("max_chunk_size"u8, chunk);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        var subject = $"$O.{bucket}.M.{PaddedUrl(Encoding.UTF8.GetBytes(name))}";
        await stream.PublishAsync(subject, description.Memory, new NatsHeaders { ["Nats-Rollup"] = "sub" }, cancellation).ConfigureAwait(false);
        return new(bucket, name, data.Length, Convert.ToHexStringLower(digest));
    }

    /// <summary>Base64 in its alphabet for URLs, with padding, as object stores have it.</summary>
    private static string PaddedUrl(byte[] bytes)
    {
        var text = Base64Url.EncodeToString(bytes);
        return text.PadRight((text.Length + 3) / 4 * 4, '=');
    }
}
