using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>Writes a list of models. <paramref name="more"/>, if given, writes additional members into the entry with that index.</summary>
internal delegate void WriteModels(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output, Action<Utf8JsonWriter, int>? more);

/// <summary>The requests of a dialect, at whatever path: errors are written in it, and models are listed in its form.</summary>
/// <param name="Dialect">The dialect.</param>
/// <param name="Has">Whether a request belongs to the surface, by its path or a header.</param>
/// <param name="WriteModels">Writes a list of models.</param>
/// <param name="WriteModel">Writes one model.</param>
internal sealed record Surface(
    ClientDialect Dialect, Func<HttpRequest, bool> Has, WriteModels WriteModels, Action<ModelListing, IBufferWriter<byte>> WriteModel);
