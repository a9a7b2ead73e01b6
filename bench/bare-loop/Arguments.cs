using System.Globalization;

namespace BareLoop;

/// <summary><c>--name value</c> pairs, and what else there is.</summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string> named = [];
    private readonly List<string> rest = [];

    public Arguments(IEnumerable<string> all)
    {
        string? name = null;
        foreach (var word in all)
        {
            if (name is not null) (named[name], name) = (word, null);
            else if (word.StartsWith("--", StringComparison.Ordinal)) name = word[2..];
            else rest.Add(word);
        }
    }

    public IReadOnlyList<string> Rest => rest;

    public string Text(string name) => named.TryGetValue(name, out var value) ? value : throw new ArgumentException($"--{name} is missing");

    public int Number(string name, int unsaid) => named.TryGetValue(name, out var value) ? int.Parse(value, CultureInfo.InvariantCulture) : unsaid;
}
