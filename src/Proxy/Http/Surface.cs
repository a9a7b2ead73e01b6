using System.Buffers;
using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Http;

/// <summary>Writes a list of models; <paramref name="more"/>, if given, has more to say of the one with that index.</summary>
internal delegate void WriteModels(IReadOnlyList<ModelListing> models, IBufferWriter<byte> output, Action<Utf8JsonWriter, int>? more);

/// <summary>Which requests are a dialect's: they are refused in it, and get models listed as it lists them.</summary>
/// <param name="Dialect">The dialect.</param>
/// <param name="Has">Whether a request is its own, which its path or a header says. Asked in the order of the surfaces.</param>
/// <param name="WriteModels">Writes a list of models.</param>
/// <param name="WriteModel">Writes one model.</param>
internal sealed record Surface(ClientDialect Dialect, Func<HttpRequest, bool> Has, WriteModels WriteModels, Action<ModelListing, IBufferWriter<byte>> WriteModel);
