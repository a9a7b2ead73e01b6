using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.IO.Enumeration;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>The backends that serve a model, and the name under which they know it.</summary>
internal sealed record Resolution(string Served, IReadOnlyList<Backend> Candidates)
{
    /// <summary>The model of this process that serves the name; then there are no candidates.</summary>
    public IVectorModel? InProcess { get; init; }

    /// <summary>Whether some candidates are proxies. Which of those may get a call depends on the proxies that the call has passed.</summary>
    public bool HasProxies { get; } = Candidates.Any(static backend => backend.IsProxy);
}

/// <summary>
/// Maps model names to backends, by one configuration and by the hosts' reports so far. An immutable snapshot that is replaced in one assignment.
/// The order is: alias, explicit model, name that a host lists, longest prefix or glob, model in this process, default. All backends of the first rank that
/// matches are candidates. If nothing matches exactly, the lookup is repeated without a trailing <c>:latest</c>, which Ollama's clients add, then
/// case-insensitively among the names that hosts list, as Ollama does.
/// </summary>
internal sealed class BackendTable
{
    private const int Remembered = 4096;
    private readonly ProxyConfig config;
    private readonly FrozenDictionary<string, Backend[]> explicitly;
    private readonly FrozenDictionary<string, Backend[]> learned;
    private readonly FrozenDictionary<string, string> inOtherLetters;
    private readonly (string Pattern, Backend Backend)[] prefixes;
    private readonly Backend[] byDefault;
    private readonly ConcurrentDictionary<string, Resolution> resolved = new();

    public BackendTable(ProxyConfig config, IReadOnlyList<Backend> backends, EmbedderTable? embedders = null)
    {
        this.config = config;
        Embedders = embedders ?? EmbedderTable.Empty;
        All = backends;
        explicitly = Group(backends.SelectMany(b => b.Config.Models.Select(model => (model, b))));
        learned = Group(backends.Where(static b => b.Config.Learn)
            .SelectMany(b => (b.State.Report?.Models ?? []).SelectMany(model => Names(model.Name).Select(name => (name, b)))));
        inOtherLetters = learned.Keys.GroupBy(name => name, StringComparer.OrdinalIgnoreCase).Where(same => same.Count() == 1)
            .ToFrozenDictionary(same => same.Key, same => same.Key, StringComparer.OrdinalIgnoreCase);
        prefixes = [.. backends.SelectMany(b => b.Config.Prefixes.Select(prefix => (prefix, b))).OrderByDescending(p => Fixed(p.prefix))];
        byDefault = [.. backends.Where(b => b.Name == config.DefaultBackend)];
    }

    public IReadOnlyList<Backend> All { get; }

    public ProxyConfig Config => config;

    /// <summary>The models in this process.</summary>
    public EmbedderTable Embedders { get; }

    /// <summary>The backends for a model; null if none serves it.</summary>
    public Resolution? Resolve(string model)
    {
        if (resolved.TryGetValue(model, out var known)) return known;
        var meant = Meant(model);
        var resolution = Exactly(meant) ?? Exactly(ModelName.Bare(meant)) ?? ByPrefix(meant)
            ?? (inOtherLetters.TryGetValue(meant, out var spelled) ? Exactly(spelled) : null)
            ?? (Embedders.Find(meant) is { } here ? new Resolution(meant, []) { InProcess = here } : null)
            ?? (byDefault.Length > 0 ? new(meant, byDefault) : null);
        if (resolution is null) return null; // not remembered: clients can invent any number of names that no backend serves
        if (resolved.Count >= Remembered) resolved.Clear();
        return resolved[model] = resolution;
    }

    /// <summary>
    /// Whether the name is in the file, in a host's list, or among the models of this process. Names that only match a prefix or the default do not count.
    /// </summary>
    public bool Lists(string model) =>
        explicitly.ContainsKey(model) || learned.ContainsKey(model) || config.Aliases.ContainsKey(model) || Embedders.Find(model) is not null;

    /// <summary>
    /// Whether a model that a backend's host lists is served by that backend: always if its names are learned, else if a prefix or <c>models</c> matches.
    /// </summary>
    public bool IsServed(string listed, Backend backend) => backend.Config.Learn || Resolve(listed)?.Candidates.Contains(backend) is true;

    /// <summary>The prefixes that do not get models which other hosts list.</summary>
    public IReadOnlyList<OverruledPrefix> Overruled() =>
        OverruledPrefix.Find([.. All.Select(
            static backend => (backend.Config, (IReadOnlyList<string>)[.. (backend.State.Report?.Models ?? []).Select(static model => model.Name)]))]);

    private string Meant(string model) =>
        config.Aliases.TryGetValue(model, out var meant) || config.Aliases.TryGetValue(ModelName.Bare(model), out meant) ? meant : model;

    private Resolution? Exactly(string model) =>
        explicitly.TryGetValue(model, out var found) || learned.TryGetValue(model, out found) ? new(model, found) : null;

    private Resolution? ByPrefix(string model)
    {
        var longest = -1;
        var matches = new List<Backend>();
        foreach (var (pattern, backend) in prefixes)
        {
            if (Fixed(pattern) < longest) break;
            if (!Matches(pattern, model)) continue;
            longest = Fixed(pattern);
            if (!matches.Contains(backend)) matches.Add(backend);
        }

        return matches.Count > 0 ? new(model, [.. matches]) : null;
    }

    public static bool Matches(string pattern, string model)
        => pattern.AsSpan().ContainsAny('*', '?')
            ? FileSystemName.MatchesSimpleExpression(pattern, model, ignoreCase: false) : model.StartsWith(pattern, StringComparison.Ordinal);

    /// <summary>The number of fixed characters in a pattern, by which its length is compared.</summary>
    public static int Fixed(string pattern) => pattern.Count(c => c is not ('*' or '?'));

    /// <summary>Ollama lists <c>name:latest</c> for the model that users call <c>name</c>.</summary>
    private static IEnumerable<string> Names(string listed)
        => ModelName.Bare(listed) is var bare && bare != listed ? [listed, bare] : [listed];

    private static FrozenDictionary<string, Backend[]> Group(IEnumerable<(string Model, Backend Backend)> pairs)
        => pairs.GroupBy(p => p.Model).ToFrozenDictionary(g => g.Key, g => g.Select(p => p.Backend).Distinct().ToArray());
}
