using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.IO.Enumeration;
using Proxy.Config;
using Proxy.Vectors;

namespace Proxy.Backends;

/// <summary>Who serves a model: the name to ask them for, and the backends to choose among.</summary>
internal sealed record Resolution(string Served, IReadOnlyList<Backend> Candidates)
{
    /// <summary>The model inside this process that serves it; then there are no candidates.</summary>
    public IVectorModel? InProcess { get; init; }
}

/// <summary>
/// Which backend serves which model, by one configuration and by what the hosts have said so far. An immutable snapshot, swapped in one assignment.
/// The order is: alias, explicit model, name learned from a host, longest prefix or glob, model in this process, default. All backends at the first rank that matches are candidates.
/// </summary>
internal sealed class BackendTable
{
    private const int Remembered = 4096;
    private readonly ProxyConfig config;
    private readonly FrozenDictionary<string, Backend[]> explicitly;
    private readonly FrozenDictionary<string, Backend[]> learned;
    private readonly (string Pattern, Backend Backend)[] prefixes;
    private readonly Backend[] byDefault;
    private readonly ConcurrentDictionary<string, Resolution?> resolved = new();

    public BackendTable(ProxyConfig config, IReadOnlyList<Backend> backends, EmbedderTable? embedders = null)
    {
        this.config = config;
        Embedders = embedders ?? EmbedderTable.Empty;
        All = backends;
        explicitly = Group(backends.SelectMany(b => b.Config.Models.Select(model => (model, b))));
        learned = Group(backends.SelectMany(b => (b.State.Report?.Models ?? []).SelectMany(model => Names(model.Name).Select(name => (name, b)))));
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
        var served = config.Aliases.GetValueOrDefault(model, model);
        var candidates = Serving(served);
        var resolution = candidates is null && Embedders.Find(served) is { } here ? new Resolution(served, []) { InProcess = here }
            : (candidates ?? byDefault) is { Length: > 0 } serving ? new Resolution(served, serving)
            : null;
        if (resolved.Count < Remembered) resolved[model] = resolution;
        return resolution;
    }

    /// <summary>Null: nobody does by name.</summary>
    private Backend[]? Serving(string model)
    {
        if (explicitly.TryGetValue(model, out var found) || learned.TryGetValue(model, out found)) return found;
        var longest = -1;
        var matches = new List<Backend>();
        foreach (var (pattern, backend) in prefixes)
        {
            if (Fixed(pattern) < longest) break;
            if (!Matches(pattern, model)) continue;
            longest = Fixed(pattern);
            if (!matches.Contains(backend)) matches.Add(backend);
        }

        return matches.Count > 0 ? [.. matches] : null;
    }

    public static bool Matches(string pattern, string model)
        => pattern.AsSpan().ContainsAny('*', '?') ? FileSystemName.MatchesSimpleExpression(pattern, model, ignoreCase: false) : model.StartsWith(pattern, StringComparison.Ordinal);

    /// <summary>How much of a pattern is fixed: what makes one longer than another.</summary>
    private static int Fixed(string pattern) => pattern.Count(c => c is not ('*' or '?'));

    /// <summary>Ollama lists <c>name:latest</c> for what everyone calls <c>name</c>.</summary>
    private static IEnumerable<string> Names(string listed)
        => listed.EndsWith(":latest", StringComparison.Ordinal) ? [listed, listed[..^":latest".Length]] : [listed];

    private static FrozenDictionary<string, Backend[]> Group(IEnumerable<(string Model, Backend Backend)> pairs)
        => pairs.GroupBy(p => p.Model).ToFrozenDictionary(g => g.Key, g => g.Select(p => p.Backend).Distinct().ToArray());
}
