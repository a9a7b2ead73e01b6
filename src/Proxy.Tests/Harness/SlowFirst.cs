using System.Reflection;
using Proxy.Tests.Harness;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestCollectionOrderer(typeof(SlowFirst))]

namespace Proxy.Tests.Harness;

/// <summary>
/// Starts the classes with slow tests first, by their category, then those that need a running proxy. Otherwise the last thread would run them alone while the
/// others have nothing to do.
/// </summary>
internal sealed class SlowFirst : ITestCollectionOrderer
{
    private static readonly string[] Slowest = ["System", "Sdk", "Slow"];

    private static readonly Lazy<Dictionary<string, int>> Ranks = new(static () =>
    {
        var ranks = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var type in typeof(SlowFirst).Assembly.GetTypes())
        {
            var rank = type.GetMethods().Prepend<MemberInfo>(type).SelectMany(Categories).Select(category => Array.IndexOf(Slowest, category))
                .Where(static rank => rank >= 0).DefaultIfEmpty(Slowest.Length).Min();
            if (rank == Slowest.Length) continue;
            var collection = type.GetCustomAttribute<CollectionAttribute>()?.Name ?? $"Test collection for {type.FullName}";
            ranks[collection] = Math.Min(rank, ranks.GetValueOrDefault(collection, rank));
        }

        return ranks;
    });

    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderBy(static collection => Rank(collection.TestCollectionDisplayName))
            .ThenBy(static collection => collection.TestCollectionDisplayName, StringComparer.Ordinal)];

    /// <summary>The collection's rank; 0 starts first.</summary>
    /// <param name="collection">A class's own collection has the class's name, followed by an id.</param>
    internal static int Rank(string collection) => Ranks.Value.GetValueOrDefault(
        collection.Split(" (id:")[0], collection.Contains(".EndToEnd.", StringComparison.Ordinal) ? Slowest.Length : Slowest.Length + 1);

    private static IEnumerable<string?> Categories(MemberInfo member) => member.CustomAttributes
        .Where(static attribute => attribute.AttributeType == typeof(TraitAttribute) && (string?)attribute.ConstructorArguments[0].Value == "Category")
        .Select(static attribute => (string?)attribute.ConstructorArguments[1].Value);
}
