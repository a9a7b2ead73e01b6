using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.IO.Enumeration;
using Proxy.Chat;
using Proxy.Config;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>Who serves a model: the name to ask them for, and the backends to choose among.</summary>
internal sealed record Resolution(string Served, IReadOnlyList<Backend> Candidates)
{
    /// <summary>The model inside this process that serves it; then there are no candidates.</summary>
    public IVectorModel? InProcess { get; init; }

    /// <summary>Some candidates are proxies: which of them a call can be given to depends on the proxies that it has come through.</summary>
    public bool HasProxies { get; } = Candidates.Any(static backend => backend.IsProxy);
}

/// <summary>
/// Which backend serves which model, by one configuration and by what the hosts have said so far. An immutable snapshot, swapped in one assignment.
/// The order is: alias, explicit model, name learned from a host, longest prefix or glob, model in this process, default. All backends at the first rank that
/// matches are candidates.
/// A name that no exact rank has as it was asked is looked for without its <c>:latest</c>, which Ollama's clients add, and among learned names in other
/// letters, as Ollama does.
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

    /// <summary>Null: nobody serves it.</summary>
    public Resolution? Resolve(string model)
    {
        if (resolved.TryGetValue(model, out var known)) return known;
        var meant = Meant(model);
        var resolution = Exactly(meant) ?? Exactly(ModelName.Bare(meant)) ?? ByPrefix(meant)
            ?? (inOtherLetters.TryGetValue(meant, out var spelled) ? Exactly(spelled) : null)
            ?? (Embedders.Find(meant) is { } here ? new Resolution(meant, []) { InProcess = here } : null)
            ?? (byDefault.Length > 0 ? new(meant, byDefault) : null);
        if (resolution is null) return null; // a client can think of any number of names that nobody serves
        if (resolved.Count >= Remembered) resolved.Clear();
        return resolved[model] = resolution;
    }

    /// <summary>The name stands in the file, in a host's list, or among the models of this process; a prefix or the default would take others too.</summary>
    public bool Lists(string model) =>
        explicitly.ContainsKey(model) || learned.ContainsKey(model) || config.Aliases.ContainsKey(model) || Embedders.Find(model) is not null;

    /// <summary>
    /// A model that a backend's host lists is to be had there: by being listed, or by a prefix where the names that it lists are not learned.
    /// </summary>
    public bool IsServed(string listed, Backend backend) => backend.Config.Learn || Resolve(listed)?.Candidates.Contains(backend) is true;

    /// <summary>The prefixes that do not get what other hosts list.</summary>
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

    /// <summary>How much of a pattern is fixed: what makes one longer than another.</summary>
    public static int Fixed(string pattern) => pattern.Count(c => c is not ('*' or '?'));

    /// <summary>Ollama lists <c>name:latest</c> for what everyone calls <c>name</c>.</summary>
    private static IEnumerable<string> Names(string listed)
        => ModelName.Bare(listed) is var bare && bare != listed ? [listed, bare] : [listed];

    private static FrozenDictionary<string, Backend[]> Group(IEnumerable<(string Model, Backend Backend)> pairs)
        => pairs.GroupBy(p => p.Model).ToFrozenDictionary(g => g.Key, g => g.Select(p => p.Backend).Distinct().ToArray());
}
