using System.Text.Json;
using Proxy.Chat;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>Every model that clients can ask for, as the hosts describe it: listed names, configured names, aliases.</summary>
internal sealed class ModelCatalog(BackendDirectory directory, BackendProbe probe)
{
    /// <summary>The end of the year 9999. A larger value is in milliseconds and is ignored.</summary>
    private const long LastSecond = 253_402_300_799;

    /// <summary>
    /// The pairs <c>MODEL#WORKSPACE</c> to list besides the models, whose workspaces a caller may use; by the caller's name, null for the operator.
    /// </summary>
    public Func<string?, ValueTask<IReadOnlyList<string>>> PairsOf { get; set; } = static _ => new([]);

    /// <summary>
    /// The models that a caller may see, in the order of the file and of the hosts. Waits for the hosts' first answer, two seconds at most. Models known only
    /// from
    /// hosts that are down are left out unless <paramref name="evenDown"/>, because a call for them would fail.
    /// </summary>
    /// <param name="mayUse">Whether the caller may use a model.</param>
    /// <param name="pairs">The pairs to list (<see cref="PairsOf"/>); null: none.</param>
    /// <param name="evenDown">Also models of hosts that are down.</param>
    public async ValueTask<IReadOnlyList<ModelListing>> ListAsync(
        Func<string, bool> mayUse, IReadOnlyList<string>? pairs = null, bool evenDown = false)
    {
        await FirstRoundAsync();
        var table = directory.Table;
        var listed = new Dictionary<string, ModelListing>();
        foreach (var backend in table.All)
        {
            var isThere = evenDown || backend.State.Health is not BackendHealth.Down;
            foreach (var model in isThere ? backend.State.Report?.Models ?? [] : [])
            {
                if (table.IsServed(model.Name, backend)) Add(model.Name, backend, model);
            }


            foreach (var name in backend.Config.Models) Add(name, backend, backend.Learned(name));
        }

        foreach (var alias in table.Config.Aliases.Keys)
        {
            if (table.Resolve(alias) is { } resolution) listed.TryAdd(alias, Describe(alias, resolution));
        }

        foreach (var model in table.Embedders.Models)
        {
            // If a host serves the name, the host has precedence.
            foreach (var name in (string[])[model.Info.Name, .. model.Info.Aliases])
            {
                if (table.Resolve(name)?.InProcess == model) listed.TryAdd(name, Describe(name, model));
            }
        }

        foreach (var pipeline in table.Config.Pipelines)
        {
            var name = ModelName.PipelinePrefix + pipeline.Name;
            listed.TryAdd(name, Pipeline(name));
        }

        foreach (var pair in pairs ?? [])
        {
            var model = pair[..pair.LastIndexOf('#')];
            if (listed.GetValueOrDefault(model) is { } known) listed.TryAdd(pair, known with { Name = pair, Workspace = pair[(model.Length + 1)..] });
        }

        return [.. listed.Values.Where(m => mayUse(m.Model))];

        void Add(string name, Backend backend, HostModel? model)
        {
            // A model that is loaded on one host counts as loaded, because a call may get that host.
            if (!listed.TryGetValue(name, out var known)) listed.Add(name, Describe(name, backend, model));
            else if (model?.Loaded is { } loaded) listed[name] = known with { Loaded = known.Loaded == true || loaded };
        }
    }

    /// <summary>
    /// The models that an asking proxy is told: those that can be reached without passing that proxy. So it does not learn from this proxy what this proxy
    /// learned
    /// from it.
    /// </summary>
    public async ValueTask<IReadOnlyList<ProxyTold>> ListForAsync(string asker, Func<string, bool> mayUse)
    {
        var told = new List<ProxyTold>();
        foreach (var model in await ListAsync(mayUse))
        {
            if (directory.Table.Resolve(model.Name) is not { } resolution || ProxyWays.To(resolution, asker) is not { Count: > 0 } ways) continue;
            told.Add(new(model, ways, End(resolution)) { Info = Learned(resolution)?.TeiInfo, Here = resolution.InProcess?.Info });
        }

        return told;
    }

    /// <summary>The model of a listed pair that the caller may use; any other name as it is.</summary>
    public async ValueTask<string> ModelOfAsync(string name, string caller) =>
        name.LastIndexOf('#') is var mark and > 0 && (await PairsOf(caller)).Contains(name) ? name[..mark] : name;

    /// <summary>One model by a name that may be asked for, listed or not; null if no backend serves it.</summary>
    public async ValueTask<ModelListing?> FindAsync(string name)
    {
        await FirstRoundAsync();
        foreach (var pipeline in directory.Table.Config.Pipelines)
        {
            if (name == ModelName.PipelinePrefix + pipeline.Name) return Pipeline(name);
        }

        return directory.Table.Resolve(name) is { } resolution ? Describe(name, resolution) : null;
    }

    private static ModelListing Pipeline(string name) => new(name) { OwnedBy = "proxy", Kind = ModelKind.Chat, Capabilities = ["completion"] };

    /// <summary>Probes a host whose models were changed; when the task completes, the change is known.</summary>
    public Task AskAgainAsync(Backend backend, CancellationToken cancellation) => probe.AskAsync(backend, cancellation);

    private async ValueTask FirstRoundAsync()
    {
        try
        {
            await probe.FirstRound;
        }
        catch (TimeoutException)
        {
            // A host that does not answer must not hide the models of the others.
        }
    }

    /// <summary>The description by the first of its backends that lists it.</summary>
    private static ModelListing Describe(string name, Resolution resolution)
    {
        if (resolution.InProcess is { } here) return Describe(name, here);
        var backend = resolution.Candidates.FirstOrDefault(b => b.Learned(resolution.Served) is not null) ?? resolution.Candidates[0];
        var model = backend.Learned(resolution.Served);
        var isAlias = !string.Equals(ModelName.Bare(resolution.Served), ModelName.Bare(name), StringComparison.OrdinalIgnoreCase);
        var listing = Describe(name, backend, model);
        return isAlias ? listing with { Resolved = model?.Name ?? resolution.Served } : listing;
    }

    private static HostModel? Learned(Resolution resolution) =>
        resolution.Candidates.Select(backend => backend.Learned(resolution.Served)).FirstOrDefault(static model => model is not null);

    private static ModelEnd End(Resolution resolution) => resolution.InProcess is not null ? ModelEnd.Process
        : resolution.Candidates.All(static backend => backend.IsEcho) ? ModelEnd.Echo
        : Learned(resolution)?.Told is { } told ? told.End : ModelEnd.Host;

    /// <summary>A model of this process.</summary>
    private static ModelListing Describe(string name, IVectorModel model) => new(name)
    {
        Resolved = name == model.Info.Name ? null : model.Info.Name,
        OwnedBy = "proxy",
        ContextLength = model.Info.MaxInputLength,
        Size = model.Info.SizeBytes,
        Kind = model.Info.Kind is VectorModelKind.Rerank ? ModelKind.Rerank : ModelKind.Embed,
        Capabilities = model.Info.Kind is VectorModelKind.Rerank ? [] : ["embedding"],
    };

    private static ModelListing Describe(string name, Backend backend, HostModel? model)
    {
        if (model?.Told is { } told) return told.Listing with { Name = name };
        var listing = new ModelListing(name) { OwnedBy = backend.Name };
        if (model is null) return listing;

        var traits = model.Traits;
        listing = listing with
        {
            ContextLength = model.ContextLength,
            ContextLimit = model.ContextLimit,
            Loaded = model.Loaded,
            Size = traits.Size,
            Capabilities = traits.Capabilities,
            Kind = traits.Kind,
            Traits = traits,
        };
        if (model.Details is not { ValueKind: JsonValueKind.Object } said) return listing;
        return listing with
        {
            OwnedBy = Text(said, "owned_by") ?? backend.Name,
            Created = Number(said, "created") is { } seconds and >= 0 and <= LastSecond ? DateTimeOffset.FromUnixTimeSeconds(seconds)
                : said.TryGetProperty("modified_at", out var modified) && modified.ValueKind is JsonValueKind.String
                    && modified.TryGetDateTimeOffset(out var at) ? at : null,
            Size = Number(said, "size") ?? traits.Size,
            Digest = Text(said, "digest"),
            Details = said.TryGetProperty("details", out var details) && details.ValueKind is JsonValueKind.Object ? details : null,
            Capabilities = traits.Capabilities.Count > 0 ? traits.Capabilities
                : said.TryGetProperty("capabilities", out var can) && can.ValueKind is JsonValueKind.Array
                    ? [.. can.EnumerateArray().Where(c => c.ValueKind is JsonValueKind.String).Select(c => c.GetString()!)]
                    : [],
        };
    }

    // Hosts differ: llama.cpp writes "size": "" where Ollama writes a number.
    private static long? Number(JsonElement said, string name) =>
        said.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.Number && value.TryGetInt64(out var number) ? number : null;

    private static string? Text(JsonElement said, string name) =>
        said.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.String ? value.GetString() : null;
}
