using Proxy.Config;

namespace Proxy.Backends;

/// <summary>A prefix of one backend that does not get models which another host lists, because a listed name takes precedence over any prefix.</summary>
/// <param name="By">The backend whose host lists them.</param>
internal sealed record OverruledPrefix(string Prefix, string Backend, string By, IReadOnlyList<string> Models)
{
    /// <summary>Number of names in the message; a host may list hundreds.</summary>
    private const int Shown = 3;

    /// <param name="hosts">Every backend, with the names that its host lists.</param>
    public static IReadOnlyList<OverruledPrefix> Find(IReadOnlyList<(BackendConfig Backend, IReadOnlyList<string> Listed)> hosts)
    {
        var named = hosts.SelectMany(host => host.Backend.Models).ToHashSet();
        var learners = hosts.Where(host => host.Backend.Learn).ToList();
        var listed = learners.SelectMany(host => host.Listed.Select(model => (Model: model, By: host.Backend))).Where(entry => !named.Contains(entry.Model))
            .ToLookup(entry => entry.Model, entry => entry.By);
        var found = new List<(string Prefix, string Backend, string By, string Model)>();
        foreach (var model in listed)
        {
            var matching = hosts.SelectMany(host => host.Backend.Prefixes.Select(prefix => (Prefix: prefix, host.Backend)))
                .Where(entry => BackendTable.Matches(entry.Prefix, model.Key)).ToList();
            if (matching.Count == 0) continue;
            var longest = matching.Max(static entry => BackendTable.Fixed(entry.Prefix));
            foreach (var (prefix, backend) in matching)
            {
                if (BackendTable.Fixed(prefix) < longest || model.Contains(backend)) continue;
                found.AddRange(model.Select(by => (prefix, backend.Name, by.Name, model.Key)));
            }
        }

        return [.. found.Distinct().GroupBy(entry => (entry.Prefix, entry.Backend, entry.By), entry => entry.Model)
            .Select(group => new OverruledPrefix(group.Key.Prefix, group.Key.Backend, group.Key.By, [.. group]))];
    }

    public override string ToString()
    {
        var names = string.Join(", ", Models.Take(Shown).Select(static model => $"\"{Chat.ModelName.Shown(model)}\""));
        return $"prefix \"{Prefix}\" of {Backend} does not get {names}{(Models.Count > Shown ? $" and {Models.Count - Shown} more" : "")}: "
            + $"{By} lists {(Models.Count == 1 ? "it" : "them")}, and a listed name takes precedence; "
            + $"write learn = false for {By}, or add the names that {Backend} should get to its models";
    }
}
