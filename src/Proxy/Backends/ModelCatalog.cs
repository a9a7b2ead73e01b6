using System.Text.Json;
using Proxy.Chat;

namespace Proxy.Backends;

/// <summary>Every model that can be asked for, as the hosts describe them: learned names, configured names, aliases.</summary>
internal sealed class ModelCatalog(BackendDirectory directory, BackendProbe probe)
{
    /// <summary>Of the year 9999: a host that says milliseconds says nothing.</summary>
    private const long LastSecond = 253_402_300_799;

    /// <summary>What a caller may see, in the order of the file and of the hosts. Waits for the hosts' first answer, two seconds at most.</summary>
    public async ValueTask<IReadOnlyList<ModelListing>> ListAsync(Func<string, bool> mayUse)
    {
        try
        {
            await probe.FirstRound;
        }
        catch (TimeoutException)
        {
            // A host that does not answer must not hide what the others serve.
        }

        var table = directory.Table;
        var listed = new Dictionary<string, ModelListing>();
        foreach (var backend in table.All)
        {
            foreach (var model in backend.State.Report?.Models ?? []) listed.TryAdd(model.Name, Describe(model.Name, backend, model));
            foreach (var name in backend.Config.Models) listed.TryAdd(name, Describe(name, backend, Learned(backend, name)));
        }

        foreach (var (alias, meant) in table.Config.Aliases)
        {
            if (table.Resolve(alias) is { } resolution) listed.TryAdd(alias, (listed.GetValueOrDefault(meant) ?? Describe(meant, resolution.Candidates[0], null)) with { Name = alias });
        }

        return [.. listed.Values.Where(m => mayUse(m.Name))];
    }

    private static HostModel? Learned(Backend backend, string name)
    {
        foreach (var model in backend.State.Report?.Models ?? [])
        {
            if (model.Name == name || model.Name == name + ":latest") return model;
        }

        return null;
    }

    private static ModelListing Describe(string name, Backend backend, HostModel? model)
    {
        var listing = new ModelListing(name) { OwnedBy = backend.Name, ContextLength = model?.ContextLength };
        if (model?.Details is not { ValueKind: JsonValueKind.Object } said) return listing;
        return listing with
        {
            OwnedBy = Text(said, "owned_by") ?? backend.Name,
            Created = Number(said, "created") is { } seconds and >= 0 and <= LastSecond ? DateTimeOffset.FromUnixTimeSeconds(seconds)
                : said.TryGetProperty("modified_at", out var modified) && modified.ValueKind is JsonValueKind.String && modified.TryGetDateTimeOffset(out var at) ? at : null,
            Size = Number(said, "size"),
            Digest = Text(said, "digest"),
            Details = said.TryGetProperty("details", out var details) && details.ValueKind is JsonValueKind.Object ? details : null,
            Capabilities = said.TryGetProperty("capabilities", out var can) && can.ValueKind is JsonValueKind.Array ? [.. can.EnumerateArray().Where(c => c.ValueKind is JsonValueKind.String).Select(c => c.GetString()!)] : [],
        };
    }

    // Hosts differ: llama.cpp says "size": "" where Ollama says a number.
    private static long? Number(JsonElement said, string name) => said.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.Number && value.TryGetInt64(out var number) ? number : null;

    private static string? Text(JsonElement said, string name) => said.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String ? value.GetString() : null;
}
