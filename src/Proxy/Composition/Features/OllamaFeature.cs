using Proxy.Dialects.OllamaChat;
using Proxy.Dialects.OllamaGenerate;
using Proxy.Http;

namespace Proxy.Composition.Features;

/// <summary>Ollama's chat, generate and listings, and what changes the models of Ollama hosts.</summary>
internal static class OllamaFeature
{
    public static void Add(PartsBuilder parts)
    {
        var dialect = new OllamaChatClientDialect();
        var hosts = new OllamaHostEndpoints(parts.Catalog, parts.Directory, parts.Dispatcher, dialect, new OllamaChatBackendDialect(), parts.Exchange);
        parts.Surfaces.Add(new(
            dialect,
            Has: static request => request.Path.StartsWithSegments("/api"),
            static (models, output, _) => OllamaListing.WriteTags(models, output),
            OllamaShow.Write));
        parts.Endpoints.AddRange(
        [
            parts.Chat(dialect, "/api/chat"),
            parts.Chat(new OllamaGenerateClientDialect(), "/api/generate"),
            new("GET", ["/api/tags"], parts.Models.ListAsync),
            new("GET", ["/api/ps"], context =>
                parts.Models.ListAsync(context, (models, output, _) => OllamaListing.WriteRunning(models, parts.Exchange.Time.GetUtcNow(), output))),
            new("POST", ["/api/show"], hosts.ShowAsync),
            new("POST", ["/api/pull", "/api/push", "/api/create"], hosts.ManageAsync),
            new("DELETE", ["/api/delete"], hosts.ManageAsync),
            new("POST", ["/api/copy"], hosts.CopyAsync),
            new("POST", [OllamaHostEndpoints.Blobs], hosts.BlobAsync),
            new("HEAD", [OllamaHostEndpoints.Blobs], hosts.BlobAsync),
        ]);
    }
}
